//! The worker of the reduced tier: walks into every wall and becomes the guest.
//!
//! The order is the point: descriptors and rules while folders can be opened,
//! the bounding set and the change of user while they are allowed, Landlock
//! before the filter that forbids it, the filters last.

use std::convert::Infallible;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;

use rustix::process::Resource;
use rustix::thread::CpuSet;

use super::folder::Folder;
use super::keeper::Order;
use super::{filter, rules, walls};
use crate::cage::command::Command;
use crate::cage::{die_with_parent, landlock, privileges};
use crate::limits::Limits;
use crate::mutation::{Part, stands};
use crate::protocol::{OrRefuse as _, Refusal};
use crate::{kernel, syscall};

/// Guests give way to whoever watches them.
const NICE: i32 = 5;
/// Threads of the station and other runs that may come while this one runs.
const OTHERS: u64 = 256;
/// A second fence around memory, for what happens between two looks: address
/// space for data, which may be far larger than what is used of it.
const DATA_TIMES: u64 = 4;
const DATA_MORE_BYTES: u64 = 1 << 30;

pub(super) fn live(
    socket: BorrowedFd<'_>,
    order: &Order,
    folder: &Folder,
    descriptors: &[OwnedFd],
) -> Result<Infallible, Refusal> {
    rustix::process::setsid().or_refuse(walls::WATCH, "start a session")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let told = folder.told(&order.spec);
    let socket = arrange(socket, descriptors)?;
    let rules = rules::prepare(&order.spec, folder, order.landlock_abi)?;
    let limits = &order.spec.limits;
    limit(limits, order.user.shared)?;
    take_processors(limits, order.slot).or_refuse(walls::PROCESSORS, "choose processors")?;
    change_user(order)?;
    die_with_parent()?;
    privileges::stop_speculation();
    let command = Command::of(&told.program, walls::PRIVATE_FOLDER)?;
    landlock::enforce(rules)?;
    let kept = syscall::number(&socket);
    if stands(Part::DescriptorsClosed) {
        syscall::close_between(4, kept - 1, 0)
            .and_then(|()| syscall::close_from(kept + 1, false))
            .or_refuse(kernel::DESCRIPTORS, "close the rest")?;
    }
    privileges::hide_memory()?;
    filter::install(order.user, order.landlock_abi)?;
    order.filter.install()?;
    command.execute_when_told(&socket)
}

/// Puts the guest's descriptors at 0 to 3 and the socket out of their way.
pub(crate) fn arrange(socket: BorrowedFd<'_>, descriptors: &[OwnedFd]) -> Result<OwnedFd, Refusal> {
    let high = |fd: BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 10);
    let wall = kernel::DESCRIPTORS;
    let moved: Vec<OwnedFd> = descriptors
        .iter()
        .map(|fd| high(fd.as_fd()))
        .collect::<Result<_, _>>()
        .or_refuse(wall, "move a descriptor")?;
    let socket = high(socket).or_refuse(wall, "move the socket")?;
    for (number, fd) in (0..).zip(&moved) {
        syscall::duplicate_onto(fd, number).or_refuse(wall, "place a descriptor")?;
    }
    // Closed with everything else, by number.
    std::mem::forget(moved);
    Ok(socket)
}

fn limit(limits: &Limits, shares_user: bool) -> Result<(), Refusal> {
    // One more than allowed may begin, so that who goes over is seen to.
    let processes = match shares_user {
        // The kernel counts the station's own as well: only a fence, far out.
        true => processes_of_own_user() + OTHERS + u64::from(limits.processes),
        false => u64::from(limits.processes) + 1,
    };
    let data = limits.memory_bytes.saturating_mul(DATA_TIMES);
    let mut rows = privileges::resource_rows(limits, processes);
    rows.push((Resource::Data, data.saturating_add(DATA_MORE_BYTES)));
    privileges::set_limits(&rows)?;
    // Who gives way even more, as under an operator's `nice`, may not go back.
    let now = rustix::process::getpriority_process(None).unwrap_or(0);
    rustix::process::setpriority_process(None, NICE.max(now))
        .or_refuse(kernel::RESOURCE_LIMITS, "give way to others")
}

fn processes_of_own_user() -> u64 {
    let uid = rustix::process::getuid().as_raw();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = entries.filter(|entry| entry.metadata().is_ok_and(|found| found.uid() == uid));
    own.count() as u64
}

/// Binds the guest to as many processors as it may use, a different set for
/// each slot. Below one processor there is no share that could be kept.
fn take_processors(limits: &Limits, slot: u32) -> std::io::Result<()> {
    if !stands(Part::Processors) {
        return Ok(());
    }
    let available = rustix::thread::sched_getaffinity(None)?;
    let numbers: Vec<usize> = (0..CpuSet::MAX_CPU)
        .filter(|number| available.is_set(*number))
        .collect();
    let wanted = usize::try_from(limits.cpu_milli.div_ceil(1000)).unwrap_or(numbers.len());
    let first = usize::try_from(slot).unwrap_or(0).wrapping_mul(wanted);
    let mut taken = CpuSet::new();
    for offset in 0..wanted.min(numbers.len()) {
        taken.set(numbers[first.wrapping_add(offset) % numbers.len()]);
    }
    Ok(rustix::thread::sched_setaffinity(None, &taken)?)
}

fn change_user(order: &Order) -> Result<(), Refusal> {
    if order.user.shared {
        return privileges::drop_held();
    }
    privileges::keep_through_change()
        .and_then(|()| syscall::drop_groups())
        .and_then(|()| syscall::set_ids(order.user.uid, order.user.gid))
        .or_refuse(walls::OWN_USER, "become the user of the slot")?;
    privileges::drop_all()
}

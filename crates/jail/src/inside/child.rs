//! The child: walks into the walls that need no privilege and becomes the guest.
//!
//! The order is the point: Landlock before the filter that forbids it, the
//! filter last. Then it says that it is ready and waits for the start.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::path::Path;

use landlock::{ABI, AccessFs, AccessNet, NetPort, RulesetCreated, RulesetCreatedAttr as _};

use super::look::WRITABLE;
use super::words::Order;
use crate::cage::command::{COMMAND, Command};
use crate::cage::landlock::{allow, enforce, everything, writing};
use crate::cage::privileges;
use crate::kernel::LANDLOCK;
use crate::protocol::{OrRefuse as _, Refusal};
use crate::reduced::arrange;
use crate::seccomp::Filter;
use crate::{kernel, syscall};

const DEVICES: [&str; 5] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];
/// Processes are counted by the control group alone: with remapped users
/// several containers are the same one.
const NO_COUNT: u64 = u64::MAX;

/// Lives as the child, and says on `socket` what stopped it.
pub(super) fn live(
    socket: &OwnedFd,
    order: &Order,
    descriptors: &[OwnedFd],
    landlock_abi: u32,
) -> Result<Infallible, Refusal> {
    syscall::reset_signals();
    rustix::process::setsid().or_refuse(COMMAND, "start a session")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    // Where memory runs out the kernel ends a guest rather than its witness. It
    // is no wall: should it take the witness, the engine knows of it.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    let socket = arrange(std::os::fd::AsFd::as_fd(socket), descriptors)?;
    let rules = rules(order, landlock_abi)?;
    let command = Command::of(&order.program, COMMAND)?;
    privileges::set_limits(&privileges::resource_rows(&order.limits, NO_COUNT))?;
    privileges::drop_held()?;
    privileges::stop_speculation();
    enforce(rules)?;
    let kept = syscall::number(&socket);
    syscall::close_between(4, kept - 1, 0)
        .and_then(|()| syscall::close_from(kept + 1, false))
        .or_refuse(kernel::DESCRIPTORS, "close the rest")?;
    privileges::hide_memory()?;
    match order.gateway.is_some() {
        true => Filter::client().install()?,
        false => Filter::guest().install()?,
    }
    command.execute_when_told(&socket)
}

/// What can be opened. Not `/proc`, which tells paths of the host, nor `/sys`.
fn rules(order: &Order, abi: u32) -> Result<RulesetCreated, Refusal> {
    let abi = ABI::from(i32::try_from(abi).unwrap_or(0));
    let mut rules = everything(abi).or_refuse(LANDLOCK, "handle every right")?;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    for (folder, is_executable) in &order.folders {
        let access = match is_executable {
            true => read | AccessFs::Execute,
            false => read,
        };
        rules = allow(rules, folder, access)?;
    }
    for file in &order.files {
        rules = allow(rules, file, AccessFs::ReadFile.into())?;
        let folders = file.ancestors().skip(1);
        for folder in folders.filter(|folder| *folder != Path::new("/")) {
            rules = allow(rules, folder, AccessFs::ReadDir.into())?;
        }
    }
    for path in WRITABLE {
        rules = allow(rules, Path::new(path), writing(abi))?;
    }
    for device in DEVICES {
        let access = AccessFs::ReadFile | AccessFs::WriteFile;
        rules = allow(rules, Path::new(device), access)?;
    }
    use landlock::Access as _;
    match order.gateway.is_some() && !AccessNet::from_all(abi).is_empty() {
        true => rules
            .add_rule(NetPort::new(crate::GATEWAY.port(), AccessNet::ConnectTcp))
            .or_refuse(LANDLOCK, "allow the gateway's port"),
        false => Ok(rules),
    }
}

//! A keeper's life with a zygote: it freezes it, and makes copies when told.
//!
//! It answers every order, with a copy or with why there is none, and ends
//! with its warden; the zygote, which it traces, ends with it.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::graft::graft;
use super::zygote::{Frozen, freeze};
use crate::cgroup::Leaf;
use crate::limits::Limits;
use crate::protocol::{Graft, OrRefuse as _, Refusal, Report};
use crate::wire::{self, Received};
use crate::{kernel, syscall};

/// How long a zygote may take to load what its copies will need.
const LOAD_MS_MAX: u32 = 120_000;
/// The keeper, init and the zygote.
const PROCESSES: usize = 3;

pub(super) fn steer(
    socket: BorrowedFd<'_>,
    steering: OwnedFd,
    leaf: &Leaf,
    limits: &Limits,
) -> Result<Infallible, Refusal> {
    let frozen =
        freeze(steering, leaf, limits, LOAD_MS_MAX).or_refuse(kernel::ZYGOTE, "freeze a zygote")?;
    if leaf.processes().len() != PROCESSES {
        return Err("a library that was loaded ahead has started a process")
            .or_refuse(kernel::ZYGOTE, "freeze a zygote");
    }
    let ground = ground(&frozen).or_refuse(kernel::ZYGOTE, "open a zygote's namespaces")?;
    let attached = ground.each_ref().map(|one| one.as_fd());
    wire::send(socket, &Report::Frozen, &attached).or_refuse(kernel::ZYGOTE, "report a zygote")?;
    drop(ground);
    let life = life(&frozen).or_refuse(kernel::ZYGOTE, "watch a zygote")?;
    loop {
        until_ordered(socket, &life).or_refuse(kernel::ZYGOTE, "wait for an order")?;
        match wire::receive::<Graft>(socket).or_refuse(kernel::ZYGOTE, "hear an order")? {
            Received::Frame(order, descriptors) => answer(socket, &frozen, &order, &descriptors)
                .or_refuse(kernel::ZYGOTE, "answer an order")?,
            _ => syscall::exit_now(0),
        }
    }
}

/// Its number is its own for as long as we trace it.
fn life(frozen: &Frozen) -> io::Result<OwnedFd> {
    let pid = Pid::from_raw(frozen.tracee.pid()).ok_or(io::ErrorKind::NotFound)?;
    Ok(pidfd_open(pid, PidfdFlags::empty())?)
}

/// Ends with a zygote that something on the host has ended, and its copies too:
/// init dies with us, and they with their init.
fn until_ordered(socket: BorrowedFd<'_>, life: &OwnedFd) -> io::Result<()> {
    loop {
        let mut ends = [
            PollFd::new(&socket, PollFlags::IN),
            PollFd::new(life, PollFlags::IN),
        ];
        match poll(&mut ends, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [ordered, ended] = ends.map(|end| !end.revents().is_empty());
        match (ended, ordered) {
            (true, _) => syscall::exit_now(0),
            (false, true) => return Ok(()),
            (false, false) => {}
        }
    }
}

fn answer(
    socket: BorrowedFd<'_>,
    frozen: &Frozen,
    order: &Graft,
    descriptors: &[OwnedFd],
) -> io::Result<()> {
    let number = order.number;
    let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
    match graft(frozen, &borrowed, order) {
        Ok((guest, reaped_as)) => {
            // First the word and then the release: its end must not be told before.
            let told = wire::send(socket, &Report::Grafted { number, reaped_as }, &[]);
            told.and_then(|()| guest.release())
        }
        Err(error) => {
            let why = error.to_string();
            wire::send(socket, &Report::NotGrafted { number, why }, &[])
        }
    }
}

fn ground(frozen: &Frozen) -> io::Result<[File; 2]> {
    let open = |kind| File::open(format!("/proc/{}/ns/{kind}", frozen.tracee.pid()));
    Ok([open("user")?, open("pid")?])
}

//! The child of the first process, from its fork until it is ready to begin.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;

use rustix::fs::MemfdFlags;
use rustix::pipe::PipeFlags;

use super::attend::PREPARATION;
use super::child;
use super::words::Order;
use crate::kernel::DESCRIPTORS;
use crate::protocol::{OrRefuse as _, Refusal, Report};
use crate::wire::{self, Received};
use crate::{cage, jail, syscall};

/// The child, and what leads to it.
pub(super) struct Charge {
    pub(super) pid: i32,
    pub(super) socket: OwnedFd,
    pub(super) pipes: [OwnedFd; 3],
}

impl Charge {
    pub(super) fn start(order: &Order, landlock_abi: u32) -> Result<Self, Refusal> {
        let wall = DESCRIPTORS;
        let (socket, theirs) = wire::pair().or_refuse(wall, "make a socket")?;
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_refuse(wall, "make a pipe");
        let [out, errors, result] = [pipe()?, pipe()?, pipe()?];
        let input = input(&order.input.0).or_refuse(wall, "make the input")?;
        let descriptors = [input, out.1, errors.1, result.1];
        let pid = syscall::fork(|| {
            match child::live(&theirs, order, &descriptors, landlock_abi) {
                Ok(never) => match never {},
                Err(refusal) => {
                    // It may have moved; both are the same socket.
                    let _ = wire::send(&theirs, &Report::Refused(refusal), &[]);
                    syscall::exit_now(cage::REFUSED)
                }
            }
        })
        .or_refuse(PREPARATION, "fork the child")?;
        Ok(Self {
            pid,
            socket,
            pipes: [out.0, errors.0, result.0],
        })
    }

    pub(super) fn until_ready(&self) -> Result<(), Refusal> {
        match wire::receive::<Report>(&self.socket).or_refuse(PREPARATION, "hear the child")? {
            Received::Frame(Report::Ready, _) => Ok(()),
            Received::Frame(Report::Refused(refusal), _) => Err(refusal),
            _ => Err("it ended").or_refuse(PREPARATION, "see the child in its walls"),
        }
    }
}

fn input(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("input", flags)?);
    file.write_all(bytes)?;
    jail::sealed_memory(Some(file.into()))
}

//! The first process's way to the station: its own descriptors 0 and 1.
//!
//! No guest ever holds either. What cannot be sent yet is kept here.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::words::{FromInside, ORDER_LEN_MAX, Order, ToInside, Unframed, frame};

/// Bytes read of the station at once.
const PART_LEN: usize = 32 << 10;

/// The way to the station.
#[derive(Default)]
pub(super) struct Station {
    pub(super) heard: Unframed,
    pub(super) unsent: Vec<u8>,
}

impl Station {
    pub(super) fn order(&mut self) -> io::Result<Option<Order>> {
        match self.hear()? {
            Some(ToInside::Order(order)) => Ok(Some(*order)),
            _ => Ok(None),
        }
    }

    /// Waits for the next message; `None` when the station is gone.
    pub(super) fn hear(&mut self) -> io::Result<Option<ToInside>> {
        loop {
            if let Some(message) = self.heard.next(ORDER_LEN_MAX)? {
                return Ok(Some(message));
            }
            if !self.listen()? {
                return Ok(None);
            }
        }
    }

    /// Takes in what has come; whether the station is still there.
    pub(super) fn listen(&mut self) -> io::Result<bool> {
        let mut part = vec![0; PART_LEN];
        match rustix::io::read(rustix::stdio::stdin(), &mut part) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.heard.push(&part[..length]);
                Ok(true)
            }
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a message and waits until all is sent.
    pub(super) fn say(&mut self, message: &FromInside) -> io::Result<()> {
        self.queue(message)?;
        while !self.unsent.is_empty() {
            match rustix::io::write(OUT, &self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(super) fn queue(&mut self, message: &FromInside) -> io::Result<()> {
        self.unsent.extend(frame(message)?);
        Ok(())
    }

    /// Sends what can be sent without waiting: where there is room at all, there
    /// is room for this much.
    pub(super) fn send(&mut self) -> io::Result<()> {
        let part = &self.unsent[..self.unsent.len().min(libc::PIPE_BUF)];
        match rustix::io::write(OUT, part) {
            Ok(length) => {
                self.unsent.drain(..length);
                Ok(())
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The station's end; it is never closed.
pub(super) const OUT: BorrowedFd<'static> = rustix::stdio::stdout();

/// Whether this could be done now; an end counts as something to read.
pub(super) fn is_ready(end: BorrowedFd<'_>, what: PollFlags) -> bool {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut ends = [PollFd::new(&end, what)];
    matches!(poll(&mut ends, Some(&now)), Ok(1))
}

//! The warden's end of the socket to its supervisor.
//!
//! Nothing here waits: what the socket has no room for stays in a queue, since
//! a supervisor that does not listen must not keep limits from being enforced.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::net::SendFlags;

use crate::protocol::{FromWarden, ToWarden};
use crate::wire::{self, Received};

pub(crate) struct Link {
    socket: OwnedFd,
    /// Each slot adds three frames at most before the supervisor has to hear
    /// the last, so the queue is bounded by the number of slots.
    outgoing: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    open: bool,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            outgoing: VecDeque::new(),
            open: true,
        }
    }

    /// Whether there is still a supervisor.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// What to wait for.
    pub(crate) fn poll(&self) -> PollFd<'_> {
        let room = if self.outgoing.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        PollFd::new(&self.socket, PollFlags::IN | room)
    }

    /// The next request, if there is one; without its descriptors if there was
    /// no room for them.
    pub(crate) fn hear(&mut self) -> Option<(ToWarden, Option<Vec<OwnedFd>>)> {
        match wire::receive_now::<ToWarden>(&self.socket) {
            Ok(Received::Frame(message, descriptors)) => return Some((message, Some(descriptors))),
            Ok(Received::Bare(message)) => return Some((message, None)),
            Ok(Received::Nothing) => {}
            Ok(Received::End) | Err(_) => self.open = false,
        }
        None
    }

    pub(crate) fn say(&mut self, message: &FromWarden, descriptor: Option<OwnedFd>) {
        // Every message to the supervisor is far below the bound of a frame.
        if let Ok(bytes) = wire::encode(message) {
            self.outgoing.push_back((bytes, descriptor));
        }
        self.flush();
    }

    /// Sends what there is room for.
    pub(crate) fn flush(&mut self) {
        while let Some((bytes, descriptor)) = self.outgoing.front() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let borrowed: Vec<_> = descriptor.iter().map(|fd| fd.as_fd()).collect();
            match wire::send_encoded(&self.socket, bytes, &borrowed, flags) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.open = false;
                    return;
                }
                Ok(()) => {}
            }
            self.outgoing.pop_front();
        }
    }
}

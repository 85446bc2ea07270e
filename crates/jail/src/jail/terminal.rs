//! A terminal: what a person types into a guest of his own.
//!
//! The supervisor makes a pair and keeps the side that a person is connected
//! to; the guest gets the other as descriptors 0 to 2, and its session's
//! terminal. All other walls are those of every guest. The rule: such a guest
//! was made for this one run. What a terminal can be asked for is listed in the
//! table of system calls; typing into it on somebody's behalf is not.

use std::os::fd::OwnedFd;

use super::{Jail, Open, Origin, SealError, Spec};
use crate::event::Tier;
use crate::kernel::Kernel;

/// The wall that would have to stand for it.
const WALL: &str = "terminal";

impl Jail<Open> {
    /// Gives the guest this side of a pair of terminals in place of its input
    /// and of the pipes for stdout and stderr, which end at once.
    pub fn terminal(mut self, side: OwnedFd) -> Self {
        self.spec.terminal = true;
        self.stdin = Some(side);
        self
    }
}

impl Spec {
    pub(crate) fn check_terminal(
        &self,
        side: Option<&OwnedFd>,
        kernel: &Kernel,
    ) -> Result<(), SealError> {
        if !self.terminal {
            return Ok(());
        }
        if self.waiting.is_some() || self.origin != Origin::Program || self.gateway {
            return Err(SealError::TerminalAhead);
        }
        if !side.is_some_and(rustix::termios::isatty) {
            return Err(SealError::NoTerminal);
        }
        match kernel.tier {
            Tier::Full => Ok(()),
            Tier::Reduced => Err(SealError::Wall {
                name: WALL.to_owned(),
                why: "in the tier reduced a terminal is given to nobody".to_owned(),
                fix: None,
            }),
        }
    }
}

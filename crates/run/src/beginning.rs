//! How a guest is told to begin, by how it came to wait.

use std::{io, os::fd::OwnedFd};

use strongroom_jail::{Door, Program, WardenError};

use crate::slot::Slot;

/// How a guest is told to begin.
pub(crate) enum Beginning {
    /// It knows what to do.
    Plain,
    /// It was launched, and hears of its work through a door.
    Door {
        door: Door,
        work: Vec<u8>,
        arguments: OwnedFd,
        /// Its time runs since its files were attached.
        has_begun: bool,
    },
    /// It waits at the gate, to become this program.
    Gate {
        program: Program,
        arguments: OwnedFd,
    },
}

impl Beginning {
    pub(crate) fn tell(self, slot: &Slot) -> Result<(), BeginError> {
        match self {
            Self::Plain => Ok(slot.warden().start_slot(slot.id())?),
            Self::Gate { program, arguments } => {
                let started = slot
                    .warden()
                    .start_program(slot.id(), program, Some(arguments));
                Ok(started?)
            }
            Self::Door {
                door,
                work,
                arguments,
                has_begun,
            } => {
                // Its time runs first, so that none of its work is free.
                if !has_begun {
                    slot.warden().start_slot(slot.id())?;
                }
                Ok(door.hand_in(&work, Some(arguments))?)
            }
        }
    }
}

/// Why a guest could not be told to begin; it is gone, or the warden is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BeginError {
    #[error("could not ask the warden")]
    Warden(#[from] WardenError),
    #[error("could not hand in the work")]
    Door(#[from] io::Error),
    #[error("could not reach the container")]
    Container(#[source] io::Error),
}

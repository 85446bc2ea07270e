//! The guest of one run, wherever it is: in the jail or in a container.
//!
//! Both are begun, killed and heard of in the same three ways. What is behind
//! them is nobody else's business.

use strongroom_jail::{Event, Exit};

use crate::{
    beginning::{BeginError, Beginning},
    collect::OutFolder,
    docker::{Contained, Out, Word},
    slot::{self, Slot},
};

/// A guest. Dropping it ends it.
pub(crate) enum Guest {
    Jailed(Slot),
    Contained(Contained),
}

/// What was seen of a guest until it was dead.
pub(crate) enum Death {
    Reported(Exit, Leavings),
    Host(&'static str),
}

/// What it left in `/out`.
pub(crate) enum Leavings {
    Here(OutFolder),
    /// Still on its way from a container.
    Coming(Out),
}

impl Leavings {
    /// The folder, as soon as it is here.
    pub(crate) async fn folder(self) -> Option<OutFolder> {
        match self {
            Self::Here(folder) => Some(folder),
            Self::Coming(out) => out.await.ok().flatten(),
        }
    }
}

/// Kills one guest, and no other.
pub(crate) enum Killer {
    Jailed(slot::Killer),
    Contained(crate::docker::Killer),
}

impl Killer {
    /// Does nothing when the guest is already dead.
    pub(crate) fn kill(&self) {
        match self {
            Self::Jailed(killer) => killer.kill(),
            Self::Contained(killer) => killer.kill(),
        }
    }
}

impl Guest {
    pub(crate) fn killer(&self) -> Killer {
        match self {
            Self::Jailed(slot) => Killer::Jailed(slot.killer()),
            Self::Contained(contained) => Killer::Contained(contained.killer()),
        }
    }

    /// Tells it to begin.
    pub(crate) fn begin(&self, beginning: Beginning) -> Result<(), BeginError> {
        match self {
            Self::Jailed(slot) => beginning.tell(slot),
            Self::Contained(contained) => contained.begin().map_err(BeginError::Container),
        }
    }

    /// Waits until it is dead, all of it.
    pub(crate) async fn death(&mut self) -> Death {
        match self {
            Self::Jailed(slot) => of_slot(slot).await,
            Self::Contained(contained) => match contained.word().await {
                Some(Word::Dead(exit, out)) => Death::Reported(exit, Leavings::Coming(out)),
                Some(Word::Ready | Word::Refused(_)) | None => {
                    Death::Host("the container ended without a word")
                }
            },
        }
    }
}

async fn of_slot(slot: &mut Slot) -> Death {
    loop {
        match slot.event().await {
            Some(Event::Exited { exit, out, .. }) => {
                return Death::Reported(exit, Leavings::Here(OutFolder::new(out)));
            }
            Some(Event::Refused { .. }) => {
                return Death::Host("the sandbox fell before its guest began");
            }
            Some(Event::Ready { .. } | Event::Attached { .. }) => {}
            None => return Death::Host("interrupted: the warden died"),
        }
    }
}

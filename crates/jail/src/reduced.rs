//! The tier `reduced`: a cage without a namespace, for where none can be made.
//!
//! Inside an unmodified container no namespace, mount or control group may be
//! made, while seccomp, Landlock, resource limits and, for root, a change of
//! user work. So each run gets a user of its own (where the warden is root),
//! sees its folders at their real paths below a private folder, and is watched:
//! its **keeper**, one process for each run, counts what the run's processes
//! use and ends the run that goes over. The warden only passes words on.
//!
//! The rule is the one of the full tier: every wall of the tier stands, or the
//! run is refused by the wall's name. What it cannot do is said in THREATS.md.
//! Deliberately absent: choosing this tier by itself; the configuration does.

mod clear;
mod ending;
mod filter;
mod folder;
mod house;
mod keeper;
mod place;
mod rules;
mod users;
mod walls;
mod watch;
mod weigh;
mod worker;

use serde::{Deserialize, Serialize};

use crate::event::Exit;
use crate::protocol::Refusal;

pub(crate) use house::House;
pub(crate) use worker::arrange;

/// Warden to one keeper.
#[derive(Debug, Serialize, Deserialize)]
enum ToKeeper {
    /// Let the guest begin.
    Begin,
    /// End it, whatever it is doing.
    Kill,
}

/// Keeper to the warden.
#[derive(Debug, Serialize, Deserialize)]
enum FromKeeper {
    /// The guest waits inside every wall.
    Ready,
    /// A wall could not be built; nothing of the guest ran and nothing is left.
    Refused(Refusal),
    /// Every process is dead; `/out` is attached.
    Ended(Exit),
}

/// Who the guest of one run is.
#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
    /// The station's own user, which cannot become another.
    shared: bool,
}

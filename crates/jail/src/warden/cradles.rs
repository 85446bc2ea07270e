//! Keepers that wait in their control groups for the next guest.
//!
//! Entering a group of version 1 takes milliseconds and holds up every fork,
//! exec and exit on the host meanwhile. So it is done ahead: all spares
//! together at the start, and later one by one, when nothing happens.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cage::{self, Cradle, Filters, Network};
use crate::cgroup::{Groups, Leaf};
use crate::kernel::CGROUP;
use crate::protocol::Refusal;
use crate::seccomp::Filter;
use crate::supervisor::WardenConfig;

/// How long nothing must have happened before a spare is made.
const QUIET_MS: u64 = 5;
/// How long after a failure the next one is tried.
const PAUSE_MS: u64 = 1_000;

pub(super) struct Cradles {
    groups: Result<Groups, String>,
    filters: Filters,
    spares: VecDeque<Cradle>,
    /// For copies; wanted from the first copy on.
    spares_for_copies: VecDeque<Cradle>,
    copies_are_made: bool,
    /// Leaves of spares that somebody killed.
    orphaned: Vec<Leaf>,
    spares_wanted: usize,
    refill_from: Instant,
}

impl Cradles {
    /// Finds or fails to find control groups, and fills up.
    pub(super) fn open(config: &WardenConfig) -> Self {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let parent = rustix::process::getppid().map_or(own, |pid| pid.as_raw_nonzero().get());
        let groups = Groups::make(&config.cgroup_name, &config.cgroup_dirs, &[own, parent]);
        let mut cradles = Self {
            groups: groups.map_err(|error| error.to_string()),
            filters: Filters {
                guest: Filter::guest(),
                client: Filter::client(),
                terminal: Filter::terminal(),
                zygote: Filter::zygote(),
                init: Filter::init(),
            },
            spares: VecDeque::new(),
            spares_for_copies: VecDeque::new(),
            copies_are_made: false,
            orphaned: Vec::new(),
            spares_wanted: usize::try_from(config.spares).unwrap_or(0),
            refill_from: Instant::now(),
        };
        for _ in 0..cradles.spares_wanted {
            // A failure comes back, with its reason, when a slot needs a keeper.
            let spare = cradles.make(Network::Own).ok();
            cradles.spares.extend(spare);
        }
        cradles
    }

    /// Why there are no control groups.
    pub(super) fn missing(&self) -> Option<&str> {
        self.groups.as_ref().err().map(String::as_str)
    }

    /// `v1`, `v2` or `none`.
    pub(super) fn version(&self) -> &'static str {
        self.groups.as_ref().map_or("none", Groups::version)
    }

    /// A keeper in a leaf of its own.
    pub(super) fn take(&mut self, network: Network) -> Result<Cradle, Refusal> {
        self.copies_are_made |= network == Network::Zygotes;
        let spares = match network {
            Network::Own => &mut self.spares,
            Network::Zygotes => &mut self.spares_for_copies,
        };
        while let Some(spare) = spares.pop_front() {
            if is_alive(&spare) {
                return Ok(spare);
            }
            self.orphaned.push(spare.leaf);
        }
        self.make(network)
    }

    /// A keeper without limits, for a rehearsal on a host without groups.
    pub(super) fn take_unlimited(&self) -> Result<Cradle, Refusal> {
        cage::spawn(Leaf::nowhere(), Network::Own, &self.filters).map_err(unavailable)
    }

    fn make(&mut self, network: Network) -> Result<Cradle, Refusal> {
        let groups = self.groups.as_mut().map_err(unavailable)?;
        let leaf = groups.leaf().map_err(unavailable)?;
        cage::spawn(leaf, network, &self.filters).map_err(unavailable)
    }

    /// Something happened; a spare can wait.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.refill_from = self.refill_from.max(now + Duration::from_millis(QUIET_MS));
    }

    /// The kind of spare that is missing most.
    fn wanted(&self) -> Option<Network> {
        let missing = |spares: &VecDeque<Cradle>| spares.len() < self.spares_wanted;
        match &self.groups {
            Err(_) => None,
            Ok(_) if missing(&self.spares) => Some(Network::Own),
            Ok(_) if self.copies_are_made && missing(&self.spares_for_copies) => {
                Some(Network::Zygotes)
            }
            Ok(_) => None,
        }
    }

    /// When the next spare is due, if one is missing.
    pub(super) fn refill_at(&self) -> Option<Instant> {
        self.wanted().map(|_| self.refill_from)
    }

    /// Makes a spare if it is due.
    pub(super) fn refill(&mut self, now: Instant) {
        let Some(network) = self.wanted().filter(|_| self.refill_from <= now) else {
            return;
        };
        if let Ok(groups) = &mut self.groups {
            groups.sweep();
        }
        let spare = self.make(network).ok();
        let pause_ms = if spare.is_some() { QUIET_MS } else { PAUSE_MS };
        self.refill_from = now + Duration::from_millis(pause_ms);
        match network {
            Network::Own => self.spares.extend(spare),
            Network::Zygotes => self.spares_for_copies.extend(spare),
        }
    }

    /// The leaves of spares that were found dead.
    pub(super) fn orphaned(&mut self) -> Vec<Leaf> {
        std::mem::take(&mut self.orphaned)
    }

    /// The leaves of all spares, for the end.
    pub(super) fn give_up(&mut self) -> Vec<Leaf> {
        let copies = self.spares_for_copies.drain(..);
        let all = self.spares.drain(..).chain(copies);
        all.map(|spare| spare.leaf).collect()
    }

    /// Removes the parent group; every leaf must be gone.
    pub(super) fn remove_groups(&self) {
        if let Ok(groups) = &self.groups {
            groups.remove();
        }
    }
}

/// Whether a keeper still lives; it may have been killed while it waited, by an
/// operator or by a host without memory, which is no guest's fault.
fn is_alive(cradle: &Cradle) -> bool {
    let mut ends = [PollFd::new(&cradle.pidfd, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    matches!(poll(&mut ends, Some(&at_once)), Ok(0))
}

fn unavailable(why: impl ToString) -> Refusal {
    Refusal {
        wall: CGROUP.to_owned(),
        detail: why.to_string(),
    }
}

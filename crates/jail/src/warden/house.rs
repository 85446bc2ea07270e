//! The house: all slots of one warden, and the one loop that drives them.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SendFlags;

use super::Identity;
use super::slot::{Outcome, Slot};
use crate::cage::{self, Cradle, Filters};
use crate::cgroup::{Groups, Leaf};
use crate::event::{Cause, Enforced, SlotId};
use crate::jail::Spec;
use crate::kernel::{self, CGROUP, Kernel};
use crate::protocol::{Build, FromWarden, Refusal, ToWarden};
use crate::supervisor::WardenConfig;
use crate::wire::{self, Received};
use crate::{seccomp, syscall};

/// The slot of the rehearsal at the start; no supervisor can name it.
const REHEARSAL: SlotId = SlotId(u32::MAX);
/// How long the last guests may take to end after the supervisor has gone.
const LEAVE_MS_MAX: u64 = 5_000;

pub(super) struct House {
    supervisor: OwnedFd,
    config: WardenConfig,
    identity: Identity,
    groups: Result<Groups, String>,
    landlock_abi: u32,
    filters: Filters,
    spares: VecDeque<Cradle>,
    slots: BTreeMap<SlotId, Slot>,
    /// Leaves of ended slots that the kernel still held on to.
    held: Vec<Leaf>,
    /// Frames that the supervisor's socket had no room for.
    outgoing: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    open: bool,
}

/// What became ready, by slot.
enum Ready {
    Supervisor,
    Report(SlotId),
    Memory(SlotId),
    Keeper(SlotId),
}

impl House {
    pub(super) fn open(supervisor: OwnedFd, config: WardenConfig, identity: Identity) -> Self {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let parent = rustix::process::getppid().map_or(own, |pid| pid.as_raw_nonzero().get());
        let groups = Groups::make(&config.cgroup_name, &config.cgroup_dirs, &[own, parent]);
        Self {
            supervisor,
            config,
            identity,
            groups: groups.map_err(|error| error.to_string()),
            landlock_abi: syscall::landlock_abi().unwrap_or(0),
            filters: Filters {
                guest: seccomp::guest(),
                init: seccomp::init(),
            },
            spares: VecDeque::new(),
            slots: BTreeMap::new(),
            held: Vec::new(),
            outgoing: VecDeque::new(),
            open: true,
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        match self.identity.refusal.clone() {
            Some(refusal) => self.say_hello(&Err(refusal)),
            None => self.prepare(REHEARSAL, Box::new(Spec::rehearsal()), Vec::new()),
        }
        while self.open {
            self.refill();
            for ready in self.wait()? {
                self.handle(ready);
            }
            self.do_what_is_due();
            self.flush();
        }
        self.leave()
    }

    fn handle(&mut self, ready: Ready) {
        let now = Instant::now();
        match ready {
            Ready::Supervisor => self.listen(),
            Ready::Report(id) => {
                let heard = self.slots.get_mut(&id).and_then(|slot| slot.hear(now));
                if let Some(proc) = heard {
                    self.say_ready(id, proc);
                }
            }
            Ready::Memory(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.memory_ran_out(now);
                }
            }
            Ready::Keeper(id) => {
                if let Some(slot) = self.slots.get_mut(&id) {
                    slot.keeper_ended(now);
                }
            }
        }
    }

    /// Hears everything the supervisor has to say.
    fn listen(&mut self) {
        loop {
            match wire::receive_now::<ToWarden>(&self.supervisor) {
                Ok(Received::Frame(message, descriptors)) => self.obey(message, descriptors),
                Ok(Received::Nothing) => return,
                Ok(Received::End) | Err(_) => {
                    self.open = false;
                    return;
                }
            }
        }
    }

    fn obey(&mut self, message: ToWarden, descriptors: Vec<OwnedFd>) {
        let now = Instant::now();
        match message {
            ToWarden::Configure(_) => {}
            ToWarden::Prepare { slot, spec } => self.prepare(slot, spec, descriptors),
            ToWarden::Start { slot } => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.start(now);
                }
            }
            ToWarden::Kill { slot } => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.kill(Cause::Killed, now);
                }
            }
        }
    }

    /// Takes a keeper and lets it build. Whatever fails here is a refusal.
    fn prepare(&mut self, id: SlotId, spec: Box<Spec>, descriptors: Vec<OwnedFd>) {
        let now = Instant::now();
        let cradle = match self.cradle(id) {
            Ok(cradle) => cradle,
            Err(refusal) => return self.conclude(id, Outcome::Refused(refusal)),
        };
        let index = if id == REHEARSAL {
            self.config.slots_max
        } else {
            id.0
        };
        let (host_uid, host_gid) = self.identity.of_slot(index);
        let mut slot = Slot::new(cradle, spec.limits, now);
        let limited = if self.groups.is_ok() {
            slot.limit()
        } else {
            Ok(())
        };
        if let Err(error) = limited {
            slot.refuse(
                Refusal {
                    wall: CGROUP.to_owned(),
                    detail: error.to_string(),
                },
                now,
            );
        } else {
            let order = Build {
                host_uid,
                host_gid,
                landlock_abi: self.landlock_abi,
                spec,
            };
            let borrowed: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
            // If the keeper is dead already, its last words are in the socket.
            let _ = wire::send(&slot.cradle.socket, &order, &borrowed);
        }
        self.slots.insert(id, slot);
    }

    /// A keeper in a leaf of its own. Without groups only the rehearsal gets one.
    fn cradle(&mut self, id: SlotId) -> Result<Cradle, Refusal> {
        if let Some(cradle) = self.spares.pop_front() {
            return Ok(cradle);
        }
        match &self.groups {
            Ok(_) => self.new_cradle(),
            Err(_) if id == REHEARSAL => cage::spawn(Leaf::nowhere(), &self.filters)
                .map_err(|error| unavailable(&error.to_string())),
            Err(why) => Err(unavailable(why)),
        }
    }

    fn new_cradle(&mut self) -> Result<Cradle, Refusal> {
        let groups = self.groups.as_mut().map_err(|why| unavailable(why))?;
        let leaf = groups
            .leaf()
            .map_err(|error| unavailable(&error.to_string()))?;
        cage::spawn(leaf, &self.filters).map_err(|error| unavailable(&error.to_string()))
    }

    /// Keeps a few keepers waiting in their groups, one more per round.
    fn refill(&mut self) {
        let wanted = usize::try_from(self.config.spares).unwrap_or(0);
        if self.groups.is_ok() && self.spares.len() < wanted {
            // A failure comes back, with its reason, when a slot needs a keeper.
            let spare = self.new_cradle().ok();
            self.spares.extend(spare);
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let due = |slot: &Slot| slot.deadline.is_some_and(|deadline| deadline <= now);
        let ids: Vec<SlotId> = self
            .slots
            .iter()
            .filter(|(_, slot)| due(slot))
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let outcome = self.slots.get_mut(&id).and_then(|slot| slot.due(now));
            if let Some(outcome) = outcome {
                let leaf = self.slots.remove(&id).map(Slot::into_leaf);
                self.held.extend(leaf.filter(|leaf| leaf.remove().is_err()));
                self.conclude(id, outcome);
            }
        }
        self.held.retain(|leaf| leaf.remove().is_err());
    }

    fn conclude(&mut self, id: SlotId, outcome: Outcome) {
        match outcome {
            Outcome::Refused(refusal) if id == REHEARSAL => self.say_hello(&Err(refusal)),
            Outcome::Exited(..) if id == REHEARSAL => {}
            Outcome::Refused(refusal) => {
                self.say(&FromWarden::Refused { slot: id, refusal }, None);
            }
            Outcome::Exited(exit, out) => {
                self.say(
                    &FromWarden::Exited {
                        slot: id,
                        exit: *exit,
                    },
                    Some(out),
                );
            }
        }
    }

    fn say_ready(&mut self, id: SlotId, proc: bool) {
        if id == REHEARSAL {
            self.say_hello(&Ok(proc));
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.kill(Cause::Killed, Instant::now());
            }
            return;
        }
        let enforced = Enforced {
            tier: "full".to_owned(),
            walls: kernel::wall_names(proc),
            landlock_abi: self.landlock_abi,
            proc,
            cgroup: self.cgroup_version(),
        };
        self.say(&FromWarden::Ready { slot: id, enforced }, None);
    }

    fn say_hello(&mut self, rehearsal: &Result<bool, Refusal>) {
        let kernel = Kernel {
            walls: kernel::walls(
                rehearsal,
                self.groups.as_ref().err().map(String::as_str),
                self.landlock_abi,
            ),
            landlock_abi: self.landlock_abi,
            cgroup: self.cgroup_version(),
            ordinary_user: self.identity.ordinary_user,
        };
        self.say(&FromWarden::Hello(kernel), None);
    }

    fn cgroup_version(&self) -> String {
        self.groups
            .as_ref()
            .map_or("none", Groups::version)
            .to_owned()
    }

    fn say(&mut self, message: &FromWarden, descriptor: Option<OwnedFd>) {
        // Every message to the supervisor is far below the bound of a frame.
        if let Ok(bytes) = wire::encode(message) {
            self.outgoing.push_back((bytes, descriptor));
        }
        self.flush();
    }

    /// Sends what there is room for. Each slot adds two frames at most before
    /// the supervisor must hear the second, so the queue is bounded by slots.
    fn flush(&mut self) {
        while let Some((bytes, descriptor)) = self.outgoing.front() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            let borrowed: Vec<_> = descriptor.iter().map(|fd| fd.as_fd()).collect();
            match wire::send_encoded(&self.supervisor, bytes, &borrowed, flags) {
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

    /// Waits for the next thing to happen or to be due.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let room = if self.outgoing.is_empty() {
            PollFlags::empty()
        } else {
            PollFlags::OUT
        };
        let mut ends = vec![PollFd::new(&self.supervisor, PollFlags::IN | room)];
        let mut meanings = vec![Ready::Supervisor];
        for (id, slot) in &self.slots {
            if !slot.deaf {
                ends.push(PollFd::new(&slot.cradle.socket, PollFlags::IN));
                meanings.push(Ready::Report(*id));
            }
            if let Some(watch) = &slot.memory_watch {
                ends.push(PollFd::new(watch, PollFlags::IN));
                meanings.push(Ready::Memory(*id));
            }
            if !slot.keeper_gone {
                ends.push(PollFd::new(&slot.cradle.pidfd, PollFlags::IN));
                meanings.push(Ready::Keeper(*id));
            }
        }
        let time = self.time_left();
        match poll(&mut ends, time.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened: Vec<bool> = ends.iter().map(|end| !end.revents().is_empty()).collect();
        let pairs = meanings.into_iter().zip(happened);
        Ok(pairs
            .filter(|(_, happened)| *happened)
            .map(|(meaning, _)| meaning)
            .collect())
    }

    fn time_left(&self) -> Option<Timespec> {
        let wanted = usize::try_from(self.config.spares).unwrap_or(0);
        let soon = self.groups.is_ok() && self.spares.len() < wanted;
        let held = if self.held.is_empty() {
            None
        } else {
            Some(Duration::from_millis(100))
        };
        let now = Instant::now();
        let next = self.slots.values().filter_map(|slot| slot.deadline).min();
        let next = next.map(|deadline| deadline.saturating_duration_since(now));
        let span = if soon {
            Some(Duration::ZERO)
        } else {
            next.into_iter().chain(held).min()
        };
        span.and_then(|span| Timespec::try_from(span).ok())
    }

    /// Ends every guest and removes everything, within a bound.
    fn leave(mut self) -> io::Result<()> {
        let now = Instant::now();
        let until = now + Duration::from_millis(LEAVE_MS_MAX);
        for slot in self.slots.values_mut() {
            slot.kill(Cause::Killed, now);
        }
        let mut leaves: Vec<Leaf> = self.spares.drain(..).map(|spare| spare.leaf).collect();
        leaves.extend(
            std::mem::take(&mut self.slots)
                .into_values()
                .map(Slot::into_leaf),
        );
        leaves.append(&mut self.held);
        while !leaves.is_empty() && Instant::now() < until {
            leaves.retain(|leaf| leaf.kill() || leaf.remove().is_err());
            if !leaves.is_empty() {
                let pause = Timespec {
                    tv_sec: 0,
                    tv_nsec: 1_000_000,
                };
                poll(&mut [], Some(&pause))?;
            }
        }
        if let Ok(groups) = &self.groups {
            groups.remove();
        }
        Ok(())
    }
}

fn unavailable(why: &str) -> Refusal {
    Refusal {
        wall: CGROUP.to_owned(),
        detail: why.to_owned(),
    }
}

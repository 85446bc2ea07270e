//! The house: all slots of one warden, and the one loop that drives them.

mod copies;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Identity;
use super::cradles::Cradles;
use super::link::Link;
use super::outcome::Outcome;
use super::remains::Remains;
use super::slot::{Heard, Slot};
use crate::cage::Network;
use crate::event::{Cause, Enforced, SlotId, Tier};
use crate::jail::{Origin, Spec};
use crate::kernel::{self, CGROUP, Kernel};
use crate::protocol::{Build, FromWarden, Refusal, ToKeeper, ToWarden};
use crate::supervisor::WardenConfig;
use crate::{syscall, wire};

/// The slot of the rehearsal at the start; no supervisor can name it.
const REHEARSAL: SlotId = SlotId(u32::MAX);
/// How long the last guests may take to end after the supervisor has gone.
const LEAVE_MS_MAX: u64 = 5_000;

pub(super) struct House {
    link: Link,
    slots_max: u32,
    identity: Identity,
    landlock_abi: u32,
    cradles: Cradles,
    slots: BTreeMap<SlotId, Slot>,
    /// Orders for copies so far.
    orders: u64,
    remains: Remains,
}

/// What became ready, by slot.
enum Ready {
    Supervisor,
    Report(SlotId),
    Memory(SlotId),
    Keeper(SlotId),
}

impl House {
    pub(super) fn open(socket: OwnedFd, config: &WardenConfig, identity: Identity) -> Self {
        Self {
            link: Link::new(socket),
            slots_max: config.slots_max,
            identity,
            landlock_abi: syscall::landlock_abi().unwrap_or(0),
            cradles: Cradles::open(config),
            slots: BTreeMap::new(),
            orders: 0,
            remains: Remains::default(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        match self.identity.refusal.clone() {
            Some(refusal) => self.say_hello(&Err(refusal)),
            None => self.prepare(REHEARSAL, Box::new(Spec::rehearsal()), Vec::new()),
        }
        while self.link.is_open() {
            let happened = self.wait()?;
            if happened.is_empty() && !self.slots.values().any(Slot::is_busy) {
                self.cradles.refill(Instant::now());
            } else {
                self.cradles.put_off(Instant::now());
            }
            for ready in happened {
                self.handle(ready);
            }
            self.do_what_is_due();
            self.link.flush();
        }
        self.leave()
    }

    fn handle(&mut self, ready: Ready) {
        let now = Instant::now();
        match ready {
            Ready::Supervisor => self.hear_supervisor(),
            Ready::Report(id) => {
                // A launched guest may end before its start was heard of.
                if self.slots.get(&id).is_some_and(Slot::is_ready) {
                    self.hear_supervisor();
                }
                self.hear(id, now);
            }
            Ready::Memory(id) => self.with(id, |slot| slot.memory_ran_out(now)),
            Ready::Keeper(id) => {
                self.hear(id, now);
                self.with(id, |slot| slot.keeper_ended(now));
            }
        }
    }

    fn hear_supervisor(&mut self) {
        while let Some((message, descriptors)) = self.link.hear() {
            match descriptors {
                Some(descriptors) => self.obey(message, descriptors),
                None => self.refuse(&message),
            }
        }
    }

    fn hear(&mut self, id: SlotId, now: Instant) {
        let heard = self.slots.get_mut(&id).map(|slot| slot.hear(now));
        for heard in heard.unwrap_or_default() {
            match heard {
                Heard::Ready { proc } => self.say_ready(id, proc),
                Heard::Attached => self.link.say(&FromWarden::Attached { slot: id }, None),
                Heard::WantsCopy { of, descriptors } => self.graft(id, of, &descriptors, now),
                Heard::Grafted { number, reaped_as } => self.grafted(id, number, reaped_as, now),
                Heard::NotGrafted { number, why } => self.not_grafted(id, number, why, now),
                Heard::Reaped { pid, wait_status } => self.reaped(id, pid, wait_status, now),
            }
        }
    }

    fn obey(&mut self, message: ToWarden, descriptors: Vec<OwnedFd>) {
        let now = Instant::now();
        match message {
            ToWarden::Configure(_) => {}
            ToWarden::Prepare { slot, spec } => self.prepare(slot, spec, descriptors),
            ToWarden::Attach { slot, attachment } => {
                self.with(slot, |slot| slot.attach(attachment, now));
            }
            ToWarden::Start { slot, program } => {
                self.with(slot, |slot| slot.start(program, &descriptors, now));
            }
            ToWarden::Kill { slot } => self.with(slot, |slot| slot.kill(Cause::Killed, now)),
        }
    }

    /// Without what came along with a request, its slot cannot be.
    fn refuse(&mut self, message: &ToWarden) {
        let now = Instant::now();
        match message {
            ToWarden::Prepare { slot, .. } => {
                self.conclude(*slot, Outcome::Refused(Refusal::no_descriptors()));
            }
            ToWarden::Start { slot, .. } => {
                self.with(*slot, |slot| slot.refuse(Refusal::no_descriptors(), now));
            }
            ToWarden::Configure(_) | ToWarden::Attach { .. } | ToWarden::Kill { .. } => {}
        }
    }

    fn with(&mut self, id: SlotId, act: impl FnOnce(&mut Slot)) {
        if let Some(slot) = self.slots.get_mut(&id) {
            act(slot);
        }
    }

    /// Takes a keeper and lets it build. Whatever fails here is a refusal.
    fn prepare(&mut self, id: SlotId, spec: Box<Spec>, descriptors: Vec<OwnedFd>) {
        let now = Instant::now();
        if self.remains.is_full() {
            let (wall, detail) = (CGROUP.to_owned(), "dead guests' groups remain".to_owned());
            return self.conclude(id, Outcome::Refused(Refusal { wall, detail }));
        }
        let unlimited = id == REHEARSAL && self.cradles.missing().is_some();
        let cradle = if unlimited {
            self.cradles.take_unlimited()
        } else {
            self.cradles.take(network(spec.origin))
        };
        for leaf in self.cradles.orphaned() {
            self.remains.add(leaf, now);
        }
        let cradle = match cradle {
            Ok(cradle) => cradle,
            Err(refusal) => return self.conclude(id, Outcome::Refused(refusal)),
        };
        let mut slot = Slot::new(cradle, &spec, now);
        let limited = if unlimited { Ok(()) } else { slot.limit() };
        match limited {
            Ok(()) => self.order(id, &mut slot, spec, descriptors),
            Err(error) => {
                let (wall, detail) = (CGROUP.to_owned(), error.to_string());
                slot.refuse(Refusal { wall, detail }, now);
            }
        }
        self.slots.insert(id, slot);
    }

    fn order(&self, id: SlotId, slot: &mut Slot, spec: Box<Spec>, descriptors: Vec<OwnedFd>) {
        let index = if id == REHEARSAL {
            self.slots_max
        } else {
            id.0
        };
        let (host_uid, host_gid) = self.identity.of_slot(index);
        let zygote = match spec.origin {
            Origin::CopyOf(of) => self
                .slots
                .get(&of)
                .and_then(|zygote| zygote.ground.as_ref()),
            Origin::Program | Origin::Zygote => None,
        };
        let order = Build {
            host_uid,
            host_gid,
            landlock_abi: self.landlock_abi,
            copies: (spec.origin == Origin::Zygote)
                .then(|| self.identity.of_copies())
                .flatten(),
            spec,
        };
        let attached: Vec<_> = match zygote {
            Some(ground) => ground.iter().map(|fd| fd.as_fd()).collect(),
            None => descriptors.iter().map(|fd| fd.as_fd()).collect(),
        };
        // If the keeper is dead already, its last words are in the socket.
        let _ = wire::send(&slot.cradle.socket, &ToKeeper::Build(order), &attached);
        if zygote.is_some() {
            slot.keep(descriptors);
        }
    }

    fn do_what_is_due(&mut self) {
        let now = Instant::now();
        let due = |slot: &Slot| slot.deadline.is_some_and(|deadline| deadline <= now);
        let due: Vec<SlotId> = self
            .slots
            .iter()
            .filter(|(_, slot)| due(slot))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            let outcome = self.slots.get_mut(&id).and_then(|slot| slot.due(now));
            if let Some(outcome) = outcome {
                self.conclude(id, outcome);
                self.forget_copies(id);
                if let Some(slot) = self.slots.remove(&id) {
                    self.remains.add_last_of(slot.into_remains(), now);
                }
            }
        }
        self.remains.clear(now);
    }

    fn conclude(&mut self, id: SlotId, outcome: Outcome) {
        let (message, out) = match outcome {
            Outcome::Refused(refusal) if id == REHEARSAL => return self.say_hello(&Err(refusal)),
            Outcome::Exited(..) if id == REHEARSAL => return,
            Outcome::Refused(refusal) => (FromWarden::Refused { slot: id, refusal }, None),
            Outcome::Exited(exit, out) => (
                FromWarden::Exited {
                    slot: id,
                    exit: *exit,
                },
                Some(out),
            ),
        };
        self.link.say(&message, out);
    }

    fn say_ready(&mut self, id: SlotId, proc: bool) {
        if id == REHEARSAL {
            self.say_hello(&Ok(proc));
            return self.with(id, |slot| slot.kill(Cause::Killed, Instant::now()));
        }
        let enforced = Enforced {
            tier: Tier::Full.as_str().to_owned(),
            walls: kernel::wall_names(proc, self.slots.get(&id).is_some_and(Slot::has_disk)),
            landlock_abi: self.landlock_abi,
            proc,
            cgroup: self.cradles.version().to_owned(),
        };
        let gateway = self.slots.get_mut(&id).and_then(Slot::take_gateway);
        self.link
            .say(&FromWarden::Ready { slot: id, enforced }, gateway);
    }

    fn say_hello(&mut self, rehearsal: &Result<bool, Refusal>) {
        let kernel = Kernel {
            tier: Tier::Full,
            walls: kernel::walls(
                &kernel::WALLS,
                rehearsal,
                self.cradles.missing(),
                self.landlock_abi,
            ),
            landlock_abi: self.landlock_abi,
            cgroup: self.cradles.version().to_owned(),
            ordinary_user: self.identity.ordinary_user,
        };
        self.link.say(&FromWarden::Hello(kernel), None);
    }

    /// Waits for the next thing to happen or to be due.
    fn wait(&self) -> io::Result<Vec<Ready>> {
        let mut ends = vec![self.link.poll()];
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
        match poll(&mut ends, self.time_left().as_ref()) {
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
        let now = Instant::now();
        let busy = self.slots.values().any(Slot::is_busy);
        let refill = self.cradles.refill_at().filter(|_| !busy);
        let deadlines = self.slots.values().filter_map(|slot| slot.deadline);
        let next = deadlines.chain(self.remains.due_at()).chain(refill).min();
        let span = next.map(|next| next.saturating_duration_since(now));
        span.and_then(|span| Timespec::try_from(span).ok())
    }

    /// Ends every guest and removes everything, within a bound.
    fn leave(mut self) -> io::Result<()> {
        let now = Instant::now();
        let until = now + Duration::from_millis(LEAVE_MS_MAX);
        for slot in self.slots.values_mut() {
            slot.kill(Cause::Killed, now);
        }
        let mut leaves = self.cradles.give_up();
        leaves.extend(
            std::mem::take(&mut self.slots)
                .into_values()
                .map(|slot| slot.into_remains().0),
        );
        leaves.extend(self.remains.give_up());
        while !leaves.is_empty() && Instant::now() < until {
            leaves.retain(|leaf| leaf.kill() || leaf.remove().is_err());
            if !leaves.is_empty() {
                poll(
                    &mut [],
                    Some(&Timespec {
                        tv_sec: 0,
                        tv_nsec: 1_000_000,
                    }),
                )?;
            }
        }
        self.cradles.remove_groups();
        Ok(())
    }
}

fn network(origin: Origin) -> Network {
    match origin {
        Origin::Program | Origin::Zygote => Network::Own,
        Origin::CopyOf(_) => Network::Zygotes,
    }
}

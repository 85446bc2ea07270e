//! All runs of a warden in the reduced tier, and the loop that passes on words.
//!
//! The warden itself touches no guest: each run's keeper does. What is left to
//! it is what outlives a keeper: the `/out` that is still being collected, and
//! the guests of a keeper that was killed.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FlockOperation;

use super::keeper::{self, Order};
use super::place::{Place, collected};
use super::{FromKeeper, ToKeeper, User, ending, walls, weigh};
use crate::event::{Cause, Enforced, Exit, SlotId, Status, Tier};
use crate::jail::{NO_NETWORK_OF_ITS_OWN, Origin, Spec};
use crate::kernel::{self, Kernel, LANDLOCK, ZYGOTE};
use crate::protocol::{FromWarden, OrRefuse as _, Refusal, ToWarden};
use crate::seccomp::Filter;
use crate::supervisor::WardenConfig;
use crate::syscall;
use crate::warden::link::Link;
use crate::wire::{self, Received};

/// The slot of the rehearsal at the start; no supervisor can name it.
const REHEARSAL: SlotId = SlotId(u32::MAX);
/// Between two looks at folders that are still being collected.
const COLLECTED_MS: u64 = 100;
/// How long keepers may take to end when the supervisor has gone.
const LEAVE_MS_MAX: u64 = 10_000;
/// Landlock holds signals from this version on.
const SIGNALS_HELD: u32 = 6;

pub(crate) struct House {
    link: Link,
    slots_max: u32,
    place: Result<Place, Refusal>,
    landlock_abi: u32,
    filter: Filter,
    slots: BTreeMap<SlotId, Slot>,
    /// Folders of ended runs whose `/out` somebody may still hold, and the
    /// sockets to their keepers, who do so until they are gone.
    ended: Vec<(PathBuf, OwnedFd)>,
}

struct Slot {
    keeper: i32,
    socket: OwnedFd,
    root: PathBuf,
    user: User,
    ready: bool,
}

impl House {
    pub(crate) fn open(socket: OwnedFd, config: &WardenConfig) -> Self {
        let landlock_abi = syscall::landlock_abi().unwrap_or(0);
        let place = Place::open(config).or_refuse(walls::PRIVATE_FOLDER, "find a place for it");
        Self {
            link: Link::new(socket),
            slots_max: config.slots_max,
            place: place.and_then(|place| enough(place, landlock_abi)),
            landlock_abi,
            filter: Filter::guest(),
            slots: BTreeMap::new(),
            ended: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) -> io::Result<()> {
        self.prepare(REHEARSAL, Box::new(Spec::rehearsal()), &[]);
        while self.link.is_open() {
            self.turn()?;
        }
        self.leave()
    }

    fn turn(&mut self) -> io::Result<()> {
        for happened in self.wait()? {
            match happened {
                None => {
                    while let Some((message, descriptors)) = self.link.hear() {
                        match (descriptors, message) {
                            (Some(descriptors), message) => self.obey(message, &descriptors),
                            (None, ToWarden::Prepare { slot, .. }) => {
                                self.refused(slot, Refusal::no_descriptors());
                            }
                            (None, _) => {}
                        }
                    }
                }
                Some(id) => self.hear(id),
            }
        }
        self.link.flush();
        self.ended.retain(|(root, _)| !collected(root));
        Ok(())
    }

    /// Who has something to say: a slot, or `None` for the supervisor.
    fn wait(&self) -> io::Result<Vec<Option<SlotId>>> {
        let mut ends = vec![self.link.poll()];
        let mut meanings = vec![None];
        for (id, slot) in &self.slots {
            ends.push(PollFd::new(&slot.socket, PollFlags::IN));
            meanings.push(Some(*id));
        }
        let span = Duration::from_millis(COLLECTED_MS);
        let span = Timespec::try_from(span).map_err(io::Error::other)?;
        match poll(&mut ends, (!self.ended.is_empty()).then_some(&span)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened = ends.iter().map(|end| !end.revents().is_empty());
        let both = meanings.into_iter().zip(happened);
        Ok(both
            .filter(|(_, happened)| *happened)
            .map(|(who, _)| who)
            .collect())
    }

    fn obey(&mut self, message: ToWarden, descriptors: &[OwnedFd]) {
        match message {
            ToWarden::Configure(_) => {}
            ToWarden::Prepare { slot, spec } => self.prepare(slot, spec, descriptors),
            // There is nobody here who waits for work.
            ToWarden::Attach { .. } => {}
            ToWarden::Start { slot, .. } => {
                if let Some(slot) = self.slots.get(&slot) {
                    let _ = wire::send(&slot.socket, &ToKeeper::Begin, &[]);
                }
            }
            ToWarden::Kill { slot } => {
                if let Some(slot) = self.slots.get(&slot) {
                    let _ = wire::send(&slot.socket, &ToKeeper::Kill, &[]);
                }
            }
        }
    }

    /// Starts a keeper. Whatever fails here is a refusal.
    fn prepare(&mut self, id: SlotId, spec: Box<Spec>, descriptors: &[OwnedFd]) {
        match self.keeper(id, spec, descriptors) {
            Ok(slot) => {
                self.slots.insert(id, slot);
            }
            Err(refusal) => self.refused(id, refusal),
        }
    }

    fn keeper(
        &mut self,
        id: SlotId,
        spec: Box<Spec>,
        descriptors: &[OwnedFd],
    ) -> Result<Slot, Refusal> {
        if spec.origin != Origin::Program {
            return Err("this tier makes no copies").or_refuse(ZYGOTE, "make one");
        }
        if spec.gateway {
            return Err(NO_NETWORK_OF_ITS_OWN).or_refuse(kernel::GATEWAY, "open one");
        }
        if spec.terminal {
            return Err("in this tier nobody has a terminal").or_refuse("preparation", "give one");
        }
        if spec.waiting.is_some() {
            return Err("in this tier nobody waits for work")
                .or_refuse("preparation", "prepare one");
        }
        let place = self.place.as_mut().map_err(|refusal| refusal.clone())?;
        let slot = id.0.min(self.slots_max);
        let order = Order {
            spec,
            user: place.user(slot),
            users_lock: place.users_lock(),
            slot,
            landlock_abi: self.landlock_abi,
            root: place.next(),
            filter: &self.filter,
        };
        let spawned = keeper::spawn(&order, descriptors);
        let (keeper, socket) = spawned.or_refuse(walls::WATCH, "fork a keeper")?;
        Ok(Slot {
            keeper,
            socket,
            root: order.root,
            user: order.user,
            ready: false,
        })
    }

    fn hear(&mut self, id: SlotId) {
        let Some(slot) = self.slots.get_mut(&id) else {
            return;
        };
        match wire::receive_now::<FromKeeper>(&slot.socket) {
            Ok(Received::Nothing) => {}
            Ok(Received::Frame(FromKeeper::Ready, _)) => {
                slot.ready = true;
                self.ready(id);
            }
            Ok(Received::Frame(FromKeeper::Refused(refusal), _)) => {
                self.slots.remove(&id);
                self.refused(id, refusal);
            }
            Ok(Received::Frame(FromKeeper::Ended(exit), out)) => {
                if let Some(slot) = self.slots.remove(&id) {
                    self.over(id, slot, exit, out.into_iter().next());
                }
            }
            Ok(Received::End | Received::Bare(_)) | Err(_) => {
                if let Some(slot) = self.slots.remove(&id) {
                    self.keeper_died(id, slot);
                }
            }
        }
    }

    fn ready(&mut self, id: SlotId) {
        if id == REHEARSAL {
            self.say_hello(&Ok(false));
            return self.obey(ToWarden::Kill { slot: id }, &[]);
        }
        let shared = self.place.as_ref().is_ok_and(Place::shares_user);
        let enforced = Enforced {
            tier: Tier::Reduced.as_str().to_owned(),
            walls: walls::names(shared),
            landlock_abi: self.landlock_abi,
            proc: false,
            cgroup: "none".to_owned(),
        };
        self.link
            .say(&FromWarden::Ready { slot: id, enforced }, None);
    }

    fn refused(&mut self, id: SlotId, refusal: Refusal) {
        if id == REHEARSAL {
            return self.say_hello(&Err(refusal));
        }
        self.link
            .say(&FromWarden::Refused { slot: id, refusal }, None);
    }

    fn over(&mut self, id: SlotId, slot: Slot, exit: Exit, out: Option<OwnedFd>) {
        self.ended.push((slot.root, slot.socket));
        if id != REHEARSAL {
            self.link.say(&FromWarden::Exited { slot: id, exit }, out);
        }
    }

    /// Somebody killed the keeper: its guests have fallen to the warden.
    fn keeper_died(&mut self, id: SlotId, slot: Slot) {
        self.kill_orphans(slot.user);
        let refusal = Refusal {
            wall: "preparation".to_owned(),
            detail: "its keeper ended before it was ready".to_owned(),
        };
        match weigh::open(&slot.root.join("out")) {
            Ok(out) if slot.ready => {
                let _ = rustix::fs::flock(&out, FlockOperation::NonBlockingLockExclusive);
                self.over(id, slot, lost(), Some(out));
            }
            _ => {
                self.ended.push((slot.root, slot.socket));
                self.refused(id, refusal);
            }
        }
    }

    /// Kills what has no keeper any more. The warden ignores its children, so
    /// the kernel reaps them.
    fn kill_orphans(&self, user: User) {
        if !user.shared {
            let _ = ending::kill_users(user.uid, 1);
            return;
        }
        let keepers: Vec<i32> = self.slots.values().map(|slot| slot.keeper).collect();
        ending::kill_all_except(&keepers);
    }

    fn say_hello(&mut self, rehearsal: &Result<bool, Refusal>) {
        let shared = match &self.place {
            Ok(place) => place.shares_user(),
            Err(_) => !rustix::process::geteuid().is_root(),
        };
        let mut rows = kernel::walls(&walls::WALLS, rehearsal, None, self.landlock_abi);
        let absent = walls::absent(shared);
        rows.retain(|row| shared || row.name != absent);
        for row in rows.iter_mut().filter(|row| row.name == absent) {
            row.required = false;
            row.enforced = false;
            row.found = "guests are the station's own user".to_owned();
        }
        let kernel = Kernel {
            tier: Tier::Reduced,
            walls: rows,
            landlock_abi: self.landlock_abi,
            cgroup: "none".to_owned(),
            ordinary_user: shared,
        };
        self.link.say(&FromWarden::Hello(kernel), None);
    }

    /// Has every keeper end its run, and removes everything, within a bound.
    fn leave(mut self) -> io::Result<()> {
        let until = Instant::now() + Duration::from_millis(LEAVE_MS_MAX);
        for slot in self.slots.values() {
            let _ = wire::send(&slot.socket, &ToKeeper::Kill, &[]);
        }
        while let Some((id, slot)) = self.slots.iter().next() {
            let left = until.saturating_duration_since(Instant::now());
            let span = Timespec::try_from(left).map_err(io::Error::other)?;
            let mut ends = [PollFd::new(&slot.socket, PollFlags::IN)];
            if matches!(poll(&mut ends, Some(&span)), Ok(0)) {
                break;
            }
            let id = *id;
            self.hear(id);
        }
        for (root, keeper) in &self.ended {
            let left = until.saturating_duration_since(Instant::now());
            let span = Timespec::try_from(left).map_err(io::Error::other)?;
            // It says no more, so this is its end.
            let _ = poll(&mut [PollFd::new(keeper, PollFlags::IN)], Some(&span));
            let _ = collected(root);
        }
        if let Ok(place) = &self.place {
            place.leave();
        }
        Ok(())
    }
}

/// What this tier asks of Landlock, by who the guests are.
fn enough(place: Place, landlock_abi: u32) -> Result<Place, Refusal> {
    let (wall, least) = match place.shares_user() {
        true => (walls::SIGNALS, SIGNALS_HELD),
        false => (LANDLOCK, 1),
    };
    if least <= landlock_abi {
        return Ok(place);
    }
    Err(Refusal {
        wall: wall.to_owned(),
        detail: format!("version {landlock_abi} of Landlock is here, and {least} is needed"),
    })
}

/// The end of a run whose keeper is gone; what it used is not known.
fn lost() -> Exit {
    Exit {
        status: Status::Signaled(libc::SIGKILL),
        cause: Cause::Killed,
        out_of_memory: false,
        processes_refused: false,
        out_full: false,
        tmp_full: false,
        exec_failed: None,
        wall_ms: 0,
        cpu_ms: 0,
        memory_peak_bytes: 0,
    }
}

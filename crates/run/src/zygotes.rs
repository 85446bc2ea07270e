//! Zygotes: interpreters that have loaded what runs need, to be copied.
//!
//! One serves one caller and one runtime, since its copies share an address
//! layout. It is made when somebody asks and not waited for: until it stands
//! still, and wherever there is none, runs begin the plain way. It ends when it
//! was not used for a while, never while a copy of it lives.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use strongroom_core::{digest::Digest, name::Name};
use strongroom_jail::{Event, Jail, Pipes, Sealed, SlotId};
use tokio::{
    sync::Notify,
    time::{Instant, timeout, timeout_at},
};

use crate::{
    prepare::PrepareError,
    slot::{Live, Slot},
};

/// How long one stays without being used.
const IDLE: Duration = Duration::from_secs(60);
/// How long it may take to load.
const LOAD: Duration = Duration::from_secs(130);
/// How long none is tried again after one that was refused.
const PAUSE: Duration = Duration::from_secs(60);

/// Whom a zygote serves: one caller, with one runtime.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub tenant: Name,
    pub runtime: Digest,
}

/// The zygotes of one warden.
#[derive(Debug)]
pub(crate) struct Zygotes {
    most: usize,
    table: Mutex<HashMap<Key, Standing>>,
}

#[derive(Debug)]
enum Standing {
    Loading,
    Frozen(Arc<Frozen>),
    /// None is tried before then.
    Refused(Instant),
}

/// One that stands still. Whoever holds it keeps it.
#[derive(Debug)]
pub(crate) struct Frozen {
    slot: SlotId,
    used: Mutex<Instant>,
    /// Told when somebody else needs its place.
    leave: Notify,
}

impl Frozen {
    /// What copies are made of.
    pub fn slot(&self) -> SlotId {
        self.slot
    }
}

impl Zygotes {
    pub fn new(most: u32) -> Arc<Self> {
        Arc::new(Self {
            most: most as usize,
            table: Mutex::default(),
        })
    }

    /// Whether there may be any.
    pub fn are_wanted(&self) -> bool {
        self.most != 0
    }

    /// The zygote, if it stands. It stays while it is held.
    pub fn standing(&self, key: &Key) -> Option<Arc<Frozen>> {
        match self.table().get(key)? {
            Standing::Frozen(frozen) => {
                *lock(&frozen.used) = Instant::now();
                Some(Arc::clone(frozen))
            }
            Standing::Loading | Standing::Refused(_) => None,
        }
    }

    /// Has one made if there is none, it may be tried, and there is room.
    pub fn want(
        self: &Arc<Self>,
        live: &Arc<Live>,
        key: Key,
        jail: impl FnOnce() -> Result<Jail<Sealed>, PrepareError>,
    ) {
        if !self.begins(&key) {
            return;
        }
        match (jail(), live.take_zygote()) {
            (Ok(jail), Some(slot)) => {
                tokio::spawn(live_its_life(Arc::clone(self), key, slot, jail));
            }
            (Ok(_), None) => drop(self.table().remove(&key)),
            (Err(error), _) => self.refuse(key, &error.to_string()),
        }
    }

    fn refuse(&self, key: Key, why: &str) {
        tracing::warn!(tenant = %key.tenant, runtime = %key.runtime, why, "there is no zygote");
        let until = Instant::now() + PAUSE;
        self.table().insert(key, Standing::Refused(until));
    }

    /// Notes that one loads, unless there is one or no room for it.
    fn begins(&self, key: &Key) -> bool {
        let mut table = self.table();
        match table.get(key) {
            Some(Standing::Refused(until)) if *until <= Instant::now() => {}
            Some(_) => return false,
            None => {}
        }
        table.retain(|_, one| !matches!(one, Standing::Refused(until) if *until <= Instant::now()));
        let standing = |one: &&Standing| !matches!(one, Standing::Refused(_));
        if self.most <= table.values().filter(standing).count() {
            make_room(&table);
            return false;
        }
        table.insert(key.clone(), Standing::Loading);
        true
    }

    fn table(&self) -> MutexGuard<'_, HashMap<Key, Standing>> {
        lock(&self.table)
    }
}

/// Asks the one to leave that nobody holds and that was used longest ago.
fn make_room(table: &HashMap<Key, Standing>) {
    let idle = table.values().filter_map(|one| match one {
        // The table holds it, and the task that lives its life.
        Standing::Frozen(frozen) if Arc::strong_count(frozen) == 2 => Some(frozen),
        _ => None,
    });
    if let Some(oldest) = idle.min_by_key(|frozen| *lock(&frozen.used)) {
        oldest.leave.notify_one();
    }
}

/// From the order to the end of one zygote.
async fn live_its_life(zygotes: Arc<Zygotes>, key: Key, mut slot: Slot, jail: Jail<Sealed>) {
    // Nobody reads what it prints; its pipes are open as long as it lives.
    let pipes = match load(&mut slot, jail).await {
        Ok(pipes) => pipes,
        Err(why) => return zygotes.refuse(key, &why),
    };
    let frozen = Arc::new(Frozen {
        slot: slot.id(),
        used: Mutex::new(Instant::now()),
        leave: Notify::new(),
    });
    let standing = Standing::Frozen(Arc::clone(&frozen));
    zygotes.table().insert(key.clone(), standing);
    let leave = until_idle(&zygotes, &key, &frozen);
    tokio::select! {
        // It never runs again, so this is its end.
        _ = slot.event() => drop(zygotes.table().remove(&key)),
        () = leave => {}
    }
    drop(pipes);
    drop(slot);
}

/// Until it is out of the table, because nobody needed it.
async fn until_idle(zygotes: &Zygotes, key: &Key, frozen: &Arc<Frozen>) {
    loop {
        let until = *lock(&frozen.used) + IDLE;
        let asked = timeout_at(until, frozen.leave.notified()).await.is_ok();
        let mut table = zygotes.table();
        // Two hold it now: the table and this task. Whoever else wants it has
        // to come by the table.
        let held = 2 < Arc::strong_count(frozen);
        let used = *lock(&frozen.used);
        if !held && (asked || used + IDLE <= Instant::now()) {
            table.remove(key);
            return;
        }
        if held {
            *lock(&frozen.used) = Instant::now();
        }
    }
}

async fn load(slot: &mut Slot, jail: Jail<Sealed>) -> Result<Pipes, String> {
    let pipes = slot.warden().prepare(slot.id(), jail);
    let pipes = pipes.map_err(|error| error.to_string())?;
    match timeout(LOAD, slot.event()).await {
        Ok(Some(Event::Ready { .. })) => Ok(pipes),
        Ok(Some(Event::Refused { wall, detail, .. })) => Err(format!("{wall}: {detail}")),
        Ok(Some(_)) => Err("it ended while it loaded".to_owned()),
        Ok(None) => Err("the warden is gone".to_owned()),
        Err(_) => Err("it took too long to load".to_owned()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

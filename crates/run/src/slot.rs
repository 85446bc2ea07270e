//! One living warden, and the slots that guests take in it.
//!
//! A slot belongs to one run from its taking until the warden says that every
//! process of the guest is dead; dropping the run's [`Slot`] kills the guest,
//! and the place is free when that is done, never earlier. A slot's number is
//! used again, so each taking has its own count and nobody can kill what came
//! after it. When the warden dies, every run in it is told by its channel
//! closing.

use std::{
    collections::HashMap,
    io,
    os::fd::{AsFd, AsRawFd, RawFd},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use strongroom_jail::{Event, SlotId, Warden, WardenConfig};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{
        OwnedSemaphorePermit,
        mpsc::{self, error::TryRecvError},
    },
    task::JoinHandle,
};

use crate::zygotes::{Frozen, Zygotes};

/// The most events of one slot: it is ready, has its work, and has ended.
const EVENTS_MAX: usize = 3;

/// One warden that lived when last seen.
pub(crate) struct Live {
    pub(crate) warden: Warden,
    pub(crate) zygotes: Arc<Zygotes>,
    dead: AtomicBool,
    /// Whether a guest ran to its end in this warden.
    proven: AtomicBool,
    table: Mutex<Table>,
    dispatch: Mutex<Option<JoinHandle<()>>>,
}

struct Table {
    free: Vec<u32>,
    /// Zygotes have slots of their own.
    free_for_zygotes: Vec<u32>,
    first_zygote: u32,
    taken: HashMap<u32, Taken>,
    takings: u64,
}

struct Taken {
    taking: u64,
    events: mpsc::Sender<Event>,
    /// What bounds how many guests there are; a zygote takes none.
    place: Option<OwnedSemaphorePermit>,
}

impl Live {
    pub(crate) fn new(warden: Warden, config: &WardenConfig) -> Arc<Self> {
        let zygotes = 0..config.zygotes_max;
        let table = Table {
            free: (0..config.slots_max).rev().collect(),
            free_for_zygotes: zygotes.rev().map(|one| config.zygote_slot(one).0).collect(),
            first_zygote: config.zygote_slot(0).0,
            taken: HashMap::new(),
            takings: 0,
        };
        Arc::new(Self {
            warden,
            zygotes: Zygotes::new(config.zygotes_max),
            dead: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            table: Mutex::new(table),
            dispatch: Mutex::new(None),
        })
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Acquire)
    }

    /// Sees to it that a task of the current runtime hands out events.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        let mut dispatch = lock(&self.dispatch);
        if dispatch.as_ref().is_none_or(JoinHandle::is_finished) && !self.is_dead() {
            *dispatch = Some(tokio::spawn(hand_out(Arc::clone(self))));
        }
    }

    /// Kills every guest of this warden, and hands out nothing more.
    pub(crate) fn close(&self) {
        self.dead.store(true, Ordering::Release);
        for (index, _) in lock(&self.table).taken.drain() {
            // An error means that the warden is gone, and its guests with it.
            let _ = self.warden.kill(SlotId(index));
        }
        if let Some(task) = lock(&self.dispatch).take() {
            task.abort();
        }
    }

    /// Takes a free slot. `place` is what bounds how many are taken.
    pub(crate) fn take(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Option<Slot> {
        self.take_from(|table| &mut table.free, Some(place))
    }

    /// Takes a free slot for a zygote.
    pub(crate) fn take_zygote(self: &Arc<Self>) -> Option<Slot> {
        self.take_from(|table| &mut table.free_for_zygotes, None)
    }

    fn take_from(
        self: &Arc<Self>,
        free: impl FnOnce(&mut Table) -> &mut Vec<u32>,
        place: Option<OwnedSemaphorePermit>,
    ) -> Option<Slot> {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut table = lock(&self.table);
        if self.is_dead() {
            return None;
        }
        let index = free(&mut table).pop()?;
        table.takings += 1;
        let taking = table.takings;
        table.taken.insert(
            index,
            Taken {
                taking,
                events: sender,
                place,
            },
        );
        drop(table);
        Some(Slot {
            live: Arc::clone(self),
            index,
            taking,
            events,
            zygote: None,
        })
    }

    fn deliver(&self, event: Event) {
        let (slot, last) = match &event {
            Event::Ready { slot, .. } | Event::Attached { slot } => (*slot, false),
            Event::Refused { slot, .. } => (*slot, true),
            Event::Exited { slot, .. } => (*slot, true),
        };
        if matches!(event, Event::Exited { .. }) {
            self.proven.store(true, Ordering::Release);
        }
        let mut table = lock(&self.table);
        let Some(taken) = table.taken.get(&slot.0) else {
            tracing::warn!(slot = slot.0, "the warden spoke of a slot that nobody took");
            return;
        };
        // An error means that the run was dropped; its guest is being killed.
        let _ = taken.events.try_send(event);
        if last {
            table.taken.remove(&slot.0);
            if slot.0 < table.first_zygote {
                table.free.push(slot.0);
            } else {
                table.free_for_zygotes.push(slot.0);
            }
        }
    }
}

async fn hand_out(live: Arc<Live>) {
    let why = match readiness(Arc::clone(&live)) {
        Ok(socket) => hand_out_from(&live, &socket).await,
        Err(error) => error,
    };
    tracing::error!(error = &why as &dyn std::error::Error, "lost the warden");
    live.dead.store(true, Ordering::Release);
    lock(&live.table).taken.clear();
}

/// Hands out events until the warden is gone; says how it went.
async fn hand_out_from(live: &Live, socket: &AsyncFd<Socket>) -> io::Error {
    let receive = |_: &Socket| match live.warden.receive() {
        Ok(Some(event)) => Ok(event),
        Ok(None) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(io::Error::other(error)),
    };
    loop {
        match socket.async_io(Interest::READABLE, receive).await {
            Ok(event) => live.deliver(event),
            Err(error) => return error,
        }
    }
}

/// The warden's own descriptor, open for as long as this holds the warden.
struct Socket(Arc<Live>);

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.warden.as_fd().as_raw_fd()
    }
}

/// Tells when there is something to receive.
fn readiness(live: Arc<Live>) -> io::Result<AsyncFd<Socket>> {
    // What replaces this function is unsafe, since it cannot see that the
    // descriptor stays open and the same. That of a `Socket` does.
    #[expect(deprecated)]
    AsyncFd::with_interest(Socket(live), Interest::READABLE)
}

/// A slot of one run. Dropping it kills the guest.
pub(crate) struct Slot {
    live: Arc<Live>,
    index: u32,
    taking: u64,
    events: mpsc::Receiver<Event>,
    /// Of which this guest is a copy; it must not end before.
    zygote: Option<Arc<Frozen>>,
}

impl Slot {
    pub(crate) fn id(&self) -> SlotId {
        SlotId(self.index)
    }

    pub(crate) fn warden(&self) -> &Warden {
        &self.live.warden
    }

    /// The next thing that happened; `None` when the warden is gone.
    pub(crate) async fn event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Whether nothing has happened since the last event that was taken.
    pub(crate) fn is_quiet(&mut self) -> bool {
        matches!(self.events.try_recv(), Err(TryRecvError::Empty))
    }

    /// Holds what this guest is a copy of, as long as it lives.
    pub(crate) fn keep(&mut self, zygote: Option<Arc<Frozen>>) {
        self.zygote = zygote;
    }

    /// Counts this slot among those that `place` is one of.
    pub(crate) fn move_to(&self, place: OwnedSemaphorePermit) {
        let mut table = lock(&self.live.table);
        if let Some(taken) = table.taken.get_mut(&self.index)
            && taken.taking == self.taking
        {
            taken.place = Some(place);
        }
    }

    pub(crate) fn killer(&self) -> Killer {
        Killer {
            live: Arc::clone(&self.live),
            index: self.index,
            taking: self.taking,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.killer().kill();
    }
}

/// Kills one guest, and none that came after it in the same slot.
#[derive(Clone)]
pub(crate) struct Killer {
    live: Arc<Live>,
    index: u32,
    taking: u64,
}

impl Killer {
    /// Does nothing when the guest is already dead.
    pub(crate) fn kill(&self) {
        let table = lock(&self.live.table);
        let ours = table
            .taken
            .get(&self.index)
            .is_some_and(|taken| taken.taking == self.taking);
        if ours && let Err(error) = self.live.warden.kill(SlotId(self.index)) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "could not ask for a kill"
            );
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

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

use strongroom_jail::{Event, SlotId, Warden};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::{
        OwnedSemaphorePermit,
        mpsc::{self, error::TryRecvError},
    },
    task::JoinHandle,
};

/// The most events of one slot: it is ready, has its work, and has ended.
const EVENTS_MAX: usize = 3;

/// One warden that lived when last seen.
pub(crate) struct Live {
    pub(crate) warden: Warden,
    dead: AtomicBool,
    /// Whether a guest ran to its end in this warden.
    proven: AtomicBool,
    table: Mutex<Table>,
    dispatch: Mutex<Option<JoinHandle<()>>>,
}

struct Table {
    free: Vec<u32>,
    taken: HashMap<u32, Taken>,
    takings: u64,
}

struct Taken {
    taking: u64,
    events: mpsc::Sender<Event>,
    place: OwnedSemaphorePermit,
}

impl Live {
    pub(crate) fn new(warden: Warden, slots_max: u32) -> Arc<Self> {
        let table = Table {
            free: (0..slots_max).rev().collect(),
            taken: HashMap::new(),
            takings: 0,
        };
        Arc::new(Self {
            warden,
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
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let mut table = lock(&self.table);
        if self.is_dead() {
            return None;
        }
        let index = table.free.pop()?;
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
            table.free.push(slot.0);
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

    /// Counts this slot among those that `place` is one of.
    pub(crate) fn move_to(&self, place: OwnedSemaphorePermit) {
        let mut table = lock(&self.live.table);
        if let Some(taken) = table.taken.get_mut(&self.index)
            && taken.taking == self.taking
        {
            taken.place = place;
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

//! The supervisor's handle of a warden.
//!
//! The warden runs from a sealed copy of its program, so that nothing a guest
//! might reach is a file of the host. It ends when this handle's socket closes,
//! by `drop` or because the supervisor died, and takes every guest along. (A
//! death signal would be quicker but leave the control groups behind.)
//! Deliberately absent: waiting. [`Warden::receive`] answers at once, and
//! readiness of the handle's descriptor says when to ask.

mod door;
mod launch;

use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::PollFlags;
use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};

use crate::event::{Event, SlotId, Tier};
use crate::jail::{Attachment, Jail, Program, SealError, Sealed, Waiting, sealed_memory};
use crate::kernel::Kernel;
use crate::protocol::{FromWarden, ToWarden};
use crate::wire::{self, Received};
use launch::{launch, pipe, ready, sealed_copy};

pub use door::{Door, WORK_BYTES_MAX};

/// How a warden is made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WardenConfig {
    /// What has to stand around guests; there is no other way to choose.
    pub tier: Tier,
    /// Where the private folders of the tier `reduced` lie.
    pub folder: PathBuf,
    /// A program whose `main` begins with [`crate::warden::main_if_asked`].
    pub program: PathBuf,
    /// How many slots there are; each has its own host user id when root.
    pub slots_max: u32,
    /// The host user and group id of slot 0 when root. The default lies above
    /// the ranges that systemd and subordinate ids use.
    pub uid_base: u32,
    /// What the warden's control group's name begins with: letters, digits, `_`.
    pub cgroup_name: String,
    /// Control groups to work below, instead of our own: one directory for
    /// version 2, one per hierarchy for version 1.
    pub cgroup_dirs: Vec<PathBuf>,
    /// How many empty slots wait in their control group for the next guest.
    pub spares: u32,
    /// How many zygotes there may be at once, in slots of their own.
    pub zygotes_max: u32,
}

impl WardenConfig {
    /// The slot of a zygote, after those of guests and one of the warden's own.
    pub fn zygote_slot(&self, index: u32) -> SlotId {
        SlotId(self.slots_max.saturating_add(1).saturating_add(index))
    }
}

impl Default for WardenConfig {
    fn default() -> Self {
        Self {
            tier: Tier::Full,
            folder: PathBuf::from("/tmp"),
            program: PathBuf::from("/proc/self/exe"),
            slots_max: 64,
            uid_base: 1_879_100_000,
            cgroup_name: "strongroom".to_owned(),
            cgroup_dirs: Vec::new(),
            spares: 2,
            zygotes_max: 8,
        }
    }
}

/// The supervisor's handle. Closing it ends the warden and every guest.
#[derive(Debug)]
pub struct Warden {
    socket: Option<OwnedFd>,
    kernel: Kernel,
    process_id: u32,
    guests: Range<u32>,
    zygotes: Range<u32>,
    taken: Mutex<BTreeSet<SlotId>>,
    /// Lives as long as the warden and reaps it.
    reaper: Option<JoinHandle<()>>,
}

/// The reading ends of a guest's 1, 2 and 3. They do not block.
#[derive(Debug)]
pub struct Pipes {
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
    pub result: OwnedFd,
    /// Of a guest that was launched ahead of its work.
    pub door: Option<Door>,
}

/// Why the warden did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("could not start a warden from {program}")]
    Start { program: PathBuf, source: io::Error },
    #[error("could not {attempt} the warden")]
    Talk {
        attempt: &'static str,
        source: io::Error,
    },
    #[error("the warden is gone")]
    Gone,
    #[error("a warden needs at least one slot, ids below 2^31, and a plain group name")]
    Config,
    #[error("what is to be given to a guest that waits is not in order")]
    Work(#[source] SealError),
    #[error("slot {0} does not exist", slot.0)]
    NoSuchSlot { slot: SlotId },
    #[error("slot {0} is taken", slot.0)]
    SlotTaken { slot: SlotId },
}

/// How long a warden may take to try every wall.
const HELLO_MS_MAX: i64 = 15_000;
/// How long it may leave a request lying in a full socket.
const ROOM_MS_MAX: i64 = 5_000;

impl Warden {
    /// Starts a warden and waits until it has tried every wall.
    pub fn start(config: WardenConfig) -> Result<Self, WardenError> {
        check(&config)?;
        let program = config.program.clone();
        let failed = |source| WardenError::Start {
            program: program.clone(),
            source,
        };
        let (ours, theirs) = wire::pair().map_err(failed)?;
        let image = sealed_copy(&config.program).map_err(failed)?;
        let (process_id, reaper) = launch(image, theirs).map_err(failed)?;
        let guests = 0..config.slots_max;
        let first = config.zygote_slot(0).0;
        let zygotes = first..first.saturating_add(config.zygotes_max);
        wire::send(&ours, &ToWarden::Configure(config), &[]).map_err(failed)?;
        if !ready(&ours, PollFlags::IN, HELLO_MS_MAX).map_err(failed)? {
            return Err(failed(io::ErrorKind::TimedOut.into()));
        }
        match wire::receive::<FromWarden>(&ours).map_err(failed)? {
            Received::Frame(FromWarden::Hello(kernel), _) => Ok(Self {
                socket: Some(ours),
                kernel,
                process_id,
                guests,
                zygotes,
                taken: Mutex::default(),
                reaper: Some(reaper),
            }),
            _ => Err(failed(io::Error::other(
                "it ended before saying what it can do",
            ))),
        }
    }

    /// What the warden found when it tried every wall at its start.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// The warden's process.
    pub fn process_id(&self) -> u32 {
        self.process_id
    }

    /// Asks for a sandbox up to just before the guest's first instruction.
    /// `Ready` or `Refused` follows.
    pub fn prepare(&self, slot: SlotId, jail: Jail<Sealed>) -> Result<Pipes, WardenError> {
        let slots = match jail.is_zygote() {
            true => &self.zygotes,
            false => &self.guests,
        };
        if !slots.contains(&slot.0) {
            return Err(WardenError::NoSuchSlot { slot });
        }
        if !self.taken().insert(slot) {
            return Err(WardenError::SlotTaken { slot });
        }
        let sent = self.send_prepare(slot, jail);
        if sent.is_err() {
            self.taken().remove(&slot);
        }
        sent
    }

    fn send_prepare(&self, slot: SlotId, jail: Jail<Sealed>) -> Result<Pipes, WardenError> {
        let failed = |source| WardenError::Talk {
            attempt: "make pipes for",
            source,
        };
        let (stdout, their_stdout) = pipe().map_err(failed)?;
        let (stderr, their_stderr) = pipe().map_err(failed)?;
        let (result, their_result) = pipe().map_err(failed)?;
        let (spec, stdin, disk) = jail.into_parts();
        let (door, stdin) = match spec.waiting {
            Some(Waiting::Launched) => {
                let (door, theirs) = Door::pair().map_err(failed)?;
                (Some(door), theirs)
            }
            Some(Waiting::AtTheGate) | None => (None, stdin),
        };
        let is_terminal = spec.terminal;
        let request = ToWarden::Prepare {
            slot,
            spec: Box::new(spec),
        };
        // Nobody else holds their ends of the pipes then, so that these end.
        let (their_stdout, their_stderr) = match is_terminal {
            true => (&stdin, &stdin),
            false => (&their_stdout, &their_stderr),
        };
        let ends = [&stdin, their_stdout, their_stderr, &their_result];
        let ends: Vec<_> = ends.into_iter().chain(&disk).map(|fd| fd.as_fd()).collect();
        self.send(&request, &ends)?;
        Ok(Pipes {
            stdout,
            stderr,
            result,
            door,
        })
    }

    /// Gives limits and files to a ready guest that waits for work, once.
    /// `Attached` or `Refused` follows.
    pub fn attach(&self, slot: SlotId, attachment: Attachment) -> Result<(), WardenError> {
        attachment.check().map_err(WardenError::Work)?;
        self.send(&ToWarden::Attach { slot, attachment }, &[])
    }

    /// Lets a ready guest begin; its wall time runs from here. Ignored unless
    /// ready, and unless attached where it waited for work. A launched guest
    /// has to be told its work after this, through its [`Door`].
    pub fn start_slot(&self, slot: SlotId) -> Result<(), WardenError> {
        let program = None;
        self.send(&ToWarden::Start { slot, program }, &[])
    }

    /// The same for a guest at the gate, which becomes this program.
    pub fn start_program(
        &self,
        slot: SlotId,
        program: Program,
        input: Option<OwnedFd>,
    ) -> Result<(), WardenError> {
        program.check().map_err(WardenError::Work)?;
        let input = sealed_memory(input).map_err(|source| WardenError::Talk {
            attempt: "make an input for",
            source,
        })?;
        let program = Some(program);
        self.send(&ToWarden::Start { slot, program }, &[input.as_fd()])
    }

    /// Ends a guest at any stage. `Exited` or `Refused` follows as always.
    pub fn kill(&self, slot: SlotId) -> Result<(), WardenError> {
        self.send(&ToWarden::Kill { slot }, &[])
    }

    /// The next event, if there is one.
    pub fn receive(&self) -> Result<Option<Event>, WardenError> {
        let failed = |source| WardenError::Talk {
            attempt: "hear",
            source,
        };
        let (message, descriptors) = match wire::receive_now(self.socket()).map_err(failed)? {
            Received::Frame(message, descriptors) => (message, descriptors),
            Received::Bare(_) => return Err(failed(rustix::io::Errno::MFILE.into())),
            Received::Nothing => return Ok(None),
            Received::End => return Err(WardenError::Gone),
        };
        let event = match message {
            FromWarden::Hello(_) => return Err(failed(io::Error::other("it said hello twice"))),
            FromWarden::Ready { slot, enforced } => Event::Ready {
                slot,
                enforced,
                gateway: descriptors.into_iter().next(),
            },
            FromWarden::Attached { slot } => Event::Attached { slot },
            FromWarden::Refused { slot, refusal } => {
                self.taken().remove(&slot);
                Event::Refused {
                    slot,
                    wall: refusal.wall,
                    detail: refusal.detail,
                }
            }
            FromWarden::Exited { slot, exit } => {
                self.taken().remove(&slot);
                let out = descriptors.into_iter().next();
                let out = out.ok_or_else(|| failed(io::Error::other("an end without /out")))?;
                Event::Exited { slot, exit, out }
            }
        };
        Ok(Some(event))
    }

    fn send(&self, message: &ToWarden, descriptors: &[BorrowedFd<'_>]) -> Result<(), WardenError> {
        let failed = |source| WardenError::Talk {
            attempt: "ask",
            source,
        };
        let bytes = wire::encode(message).map_err(failed)?;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        loop {
            match wire::send_encoded(self.socket(), &bytes, descriptors, flags) {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(WardenError::Gone);
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    return Err(WardenError::Gone);
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return Err(failed(error));
                }
                Err(_) => {}
            }
            if !ready(self.socket(), PollFlags::OUT, ROOM_MS_MAX).map_err(failed)? {
                return Err(failed(io::ErrorKind::TimedOut.into()));
            }
        }
    }

    fn socket(&self) -> &OwnedFd {
        self.socket.as_ref().expect("only drop takes the socket")
    }

    fn taken(&self) -> MutexGuard<'_, BTreeSet<SlotId>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Warden {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Drop for Warden {
    /// Waits until the warden has ended every guest and cleared up, which it
    /// does within a bound of its own.
    fn drop(&mut self) {
        drop(self.socket.take());
        if let Some(reaper) = self.reaper.take() {
            let _ = reaper.join();
        }
    }
}

fn check(config: &WardenConfig) -> Result<(), WardenError> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name_ok = !config.cgroup_name.is_empty() && config.cgroup_name.chars().all(plain);
    let last = config.zygote_slot(config.zygotes_max).0;
    let last = config.uid_base.checked_add(last);
    let ids_ok = last.is_some_and(|last| last < 1 << 31) && 1000 < config.uid_base;
    match config.slots_max {
        1..=4096 if name_ok && ids_ok => Ok(()),
        _ => Err(WardenError::Config),
    }
}

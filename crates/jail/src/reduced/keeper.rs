//! The keeper of one run: builds it, watches it, ends it, and clears up.
//!
//! It is the process to which everything of the run falls in the end, so it
//! finds it all; it has rights that the guest lacks, and holds nothing but its
//! socket to the warden and the run's folder. When the warden is gone it ends
//! the run. The wall clock and every bound that the kernel cannot hold here
//! are its business.

use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::folder::Folder;
use super::{FromKeeper, ToKeeper, User, ending, walls, watch, worker};
use crate::cage;
use crate::event::{Cause, Exit, Status};
use crate::jail::Spec;
use crate::mutation::{Part, bound, stands};
use crate::protocol::{OrRefuse as _, Refusal, Report, ToWorker};
use crate::seccomp::Filter;
use crate::wire::{self, Received};
use crate::{kernel, syscall};

/// Between two looks at processes and memory.
const LOOK_MS: u64 = 20;
/// Looks at files happen once in so many looks.
const FILES_EVERY: u64 = 10;
/// How long the way into the walls may take.
const PREPARE_MS_MAX: u64 = 10_000;

/// What is to be built, and as whom.
pub(super) struct Order<'a> {
    pub(super) spec: Box<Spec>,
    pub(super) user: User,
    /// The descriptor that holds the claim on the user.
    pub(super) users_lock: Option<u32>,
    pub(super) slot: u32,
    pub(super) landlock_abi: u32,
    pub(super) root: PathBuf,
    pub(super) filter: &'a Filter,
}

/// Starts a keeper; the answer is its pid and the socket to it.
pub(super) fn spawn(order: &Order<'_>, descriptors: &[OwnedFd]) -> io::Result<(i32, OwnedFd)> {
    let (ours, theirs) = wire::pair()?;
    let pid = syscall::fork(|| {
        let lived = keep_only(wanted(&theirs, order, descriptors))
            .and_then(|()| live(&theirs, order, descriptors));
        match lived {
            Ok(never) => match never {},
            Err(refusal) => {
                let _ = wire::send(&theirs, &FromKeeper::Refused(refusal), &[]);
                syscall::exit_now(cage::REFUSED)
            }
        }
    })?;
    Ok((pid, ours))
}

/// What a keeper needs of all that the warden has open.
fn wanted(socket: &OwnedFd, order: &Order<'_>, descriptors: &[OwnedFd]) -> Vec<u32> {
    let guests = descriptors.iter().map(syscall::number);
    guests
        .chain(order.users_lock)
        .chain([syscall::number(socket)])
        .collect()
}

/// Closes everything above 2 but these.
fn keep_only(mut kept: Vec<u32>) -> Result<(), Refusal> {
    kept.sort_unstable();
    let mut from = 3;
    for number in kept {
        let gap = syscall::close_between(from, number.saturating_sub(1), 0);
        gap.or_refuse(kernel::DESCRIPTORS, "close what is not the keeper's")?;
        from = number + 1;
    }
    syscall::close_from(from, false).or_refuse(kernel::DESCRIPTORS, "close the rest")
}

fn live(
    socket: &OwnedFd,
    order: &Order<'_>,
    descriptors: &[OwnedFd],
) -> Result<Infallible, Refusal> {
    let _ = rustix::thread::set_name(c"strongroom-keep");
    // The warden ignores its children; a keeper must hear of them.
    syscall::reset_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    rustix::process::setsid().or_refuse(walls::WATCH, "start a session")?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .or_refuse(walls::WATCH, "be whom orphans fall to")?;
    if !watch::is_possible() {
        return Err("the kernel does not list children").or_refuse(walls::WATCH, "take a census");
    }
    let folder = Folder::make(&order.root, &order.spec, order.user)
        .or_refuse(walls::PRIVATE_FOLDER, "make it")?;
    match begin(order, &folder, descriptors) {
        Ok(worker) => {
            // The guest's readers wait for the last writer, who must not be us.
            let mut kept = wanted(socket, order, &[]);
            kept.extend([&worker.socket, &worker.pidfd].map(syscall::number));
            kept.extend(folder.descriptors());
            keep_only(kept)?;
            Keeper::new(order, &folder, socket, worker).run()
        }
        Err(refusal) => {
            folder.remove();
            Err(refusal)
        }
    }
}

/// The process that becomes the guest.
struct Worker {
    pid: i32,
    pidfd: OwnedFd,
    socket: OwnedFd,
}

fn begin(order: &Order<'_>, folder: &Folder, descriptors: &[OwnedFd]) -> Result<Worker, Refusal> {
    let (ours, theirs) = wire::pair().or_refuse(walls::WATCH, "make a socket")?;
    let pid = syscall::fork(
        || match worker::live(theirs.as_fd(), order, folder, descriptors) {
            Ok(never) => match never {},
            Err(refusal) => {
                let _ = wire::send(&theirs, &Report::Refused(refusal), &[]);
                syscall::exit_now(cage::REFUSED)
            }
        },
    )
    .or_refuse(walls::WATCH, "fork the worker")?;
    let known = Pid::from_raw(pid).ok_or("it has no pid");
    let pidfd = known
        .or_refuse(walls::WATCH, "know the worker")
        .and_then(|pid| {
            pidfd_open(pid, PidfdFlags::empty()).or_refuse(walls::WATCH, "watch the worker")
        })?;
    Ok(Worker {
        pid,
        pidfd,
        socket: ours,
    })
}

struct Keeper<'a> {
    order: &'a Order<'a>,
    folder: &'a Folder,
    socket: &'a OwnedFd,
    worker: Worker,
    own_pid: i32,
    deaf: bool,
    begun: Option<Instant>,
    ready: bool,
    deadline: Instant,
    looks: u64,
    refusal: Option<Refusal>,
    exec_failed: Option<String>,
    status: Option<Status>,
    seen: Seen,
}

/// What the looks have found.
#[derive(Default)]
struct Seen {
    memory_peak_bytes: u64,
    out_of_memory: bool,
    too_many: bool,
    out_over: bool,
    tmp_over: bool,
}

impl<'a> Keeper<'a> {
    fn new(order: &'a Order<'a>, folder: &'a Folder, socket: &'a OwnedFd, worker: Worker) -> Self {
        Self {
            order,
            folder,
            socket,
            worker,
            own_pid: rustix::process::getpid().as_raw_nonzero().get(),
            deaf: false,
            begun: None,
            ready: false,
            deadline: Instant::now() + Duration::from_millis(PREPARE_MS_MAX),
            looks: 0,
            refusal: None,
            exec_failed: None,
            status: None,
            seen: Seen::default(),
        }
    }

    fn run(mut self) -> Result<Infallible, Refusal> {
        let cause = loop {
            if let Some(cause) = self.turn() {
                break cause;
            }
        };
        self.end(cause)
    }

    /// Waits for the next thing to happen; answers why the run is over.
    fn turn(&mut self) -> Option<Cause> {
        let (warden, guest) = self.wait();
        if warden && let Some(cause) = self.obey() {
            return Some(cause);
        }
        if guest {
            self.hear();
        }
        // Before anybody is reaped: who has ended still counts as a process.
        let over = self.begun.is_some() && self.look();
        let (worker, status) = (self.worker.pid, &mut self.status);
        ending::reap(&mut |pid, raw| {
            if pid == worker {
                *status = Some(ending::status(raw));
            }
        });
        if over || self.status.is_some() || self.refusal.is_some() {
            return Some(Cause::Own);
        }
        let late = !self.waits() && self.deadline <= Instant::now();
        late.then_some(Cause::Timeout)
    }

    /// A guest that is ready waits for its start without a look and a clock.
    fn waits(&self) -> bool {
        self.ready && self.begun.is_none()
    }

    fn wait(&self) -> (bool, bool) {
        let mut ends = vec![
            PollFd::new(self.socket, PollFlags::IN),
            PollFd::new(&self.worker.pidfd, PollFlags::IN),
        ];
        if !self.deaf {
            ends.push(PollFd::new(&self.worker.socket, PollFlags::IN));
        }
        let left = self.deadline.saturating_duration_since(Instant::now());
        let span = match self.begun {
            Some(_) => left.min(Duration::from_millis(LOOK_MS)),
            None => left,
        };
        let span = Timespec::try_from(span).ok().filter(|_| !self.waits());
        let _ = poll(&mut ends, span.as_ref());
        let happened = |end: Option<&PollFd<'_>>| end.is_some_and(|end| !end.revents().is_empty());
        (happened(ends.first()), happened(ends.get(2)))
    }

    /// Does what the warden says, or ends when it is gone.
    fn obey(&mut self) -> Option<Cause> {
        match wire::receive_now::<ToKeeper>(self.socket) {
            Ok(Received::Frame(ToKeeper::Begin, _)) if self.waits() => {
                let now = Instant::now();
                let wall_ms = bound(Part::TimeLimit, self.order.spec.limits.wall_ms);
                self.begun = Some(now);
                self.deadline = now + Duration::from_millis(wall_ms);
                match wire::send(&self.worker.socket, &ToWorker::Begin { program: None }, &[]) {
                    Ok(()) => None,
                    Err(_) => Some(Cause::Killed),
                }
            }
            Ok(Received::Frame(ToKeeper::Begin, _) | Received::Nothing) => None,
            Ok(Received::Frame(ToKeeper::Kill, _) | Received::Bare(_) | Received::End) | Err(_) => {
                Some(Cause::Killed)
            }
        }
    }

    /// What the worker says before it is the guest; its exec closes the socket.
    fn hear(&mut self) {
        match wire::receive_now::<Report>(&self.worker.socket) {
            Ok(Received::Frame(Report::Ready, _)) => {
                self.ready = true;
                let _ = wire::send(self.socket, &FromKeeper::Ready, &[]);
            }
            Ok(Received::Frame(Report::Refused(refusal), _)) => self.refusal = Some(refusal),
            Ok(Received::Frame(Report::ExecFailed(why), _)) => self.exec_failed = Some(why),
            Ok(Received::Nothing) => {}
            Ok(_) | Err(_) => self.deaf = true,
        }
    }

    /// Looks at what the run uses; `true` when that is too much.
    fn look(&mut self) -> bool {
        self.looks += 1;
        let (memory_max, processes_max) = self.bounds();
        // Rights over files are what the kernel compares when one process asks
        // about another; with the guest's for a moment, a warden that is root
        // of a container may ask about guests.
        let _ = syscall::set_file_user(self.order.user.uid, self.order.user.gid);
        let census = watch::census(self.own_pid, processes_max);
        let mut memory_bytes = census.memory_bytes;
        if memory_max < memory_bytes {
            memory_bytes = census.memory_shared_once_bytes();
        }
        let files = self.looks.is_multiple_of(FILES_EVERY);
        let deleted = match files {
            true => census.deleted_bytes(self.folder.root()),
            false => Some(0),
        };
        let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
        let _ = syscall::set_file_user(uid.as_raw(), gid.as_raw());
        let seen = &mut self.seen;
        seen.memory_peak_bytes = seen.memory_peak_bytes.max(memory_bytes);
        seen.out_of_memory |= memory_max < memory_bytes;
        seen.too_many |= u64::from(processes_max) < census.tasks;
        if files {
            self.weigh(deleted);
        }
        let seen = &self.seen;
        seen.out_of_memory || seen.too_many || seen.out_over || seen.tmp_over
    }

    /// How much memory and how many processes are not too much.
    fn bounds(&self) -> (u64, u32) {
        let limits = &self.order.spec.limits;
        let processes = bound(Part::WatchProcesses, u64::from(limits.processes));
        (
            bound(Part::WatchMemory, limits.memory_bytes),
            u32::try_from(processes).unwrap_or(u32::MAX),
        )
    }

    fn weigh(&mut self, deleted: Option<u64>) {
        if !stands(Part::WatchFiles) {
            return;
        }
        let (out, tmp) = self.folder.over(deleted.unwrap_or(0));
        self.seen.out_over |= out;
        self.seen.tmp_over |= tmp || deleted.is_none();
    }

    /// Kills, counts, tells, and clears up.
    fn end(mut self, cause: Cause) -> Result<Infallible, Refusal> {
        let ended = Instant::now();
        let (worker, mut status) = (self.worker.pid, self.status.take());
        let gone = ending::kill_all(self.order.user, |pid, raw| {
            if pid == worker {
                status.get_or_insert(ending::status(raw));
            }
        });
        if !self.deaf {
            self.hear();
        }
        if !self.ready {
            self.folder.remove();
            let refusal = self.refusal.take().unwrap_or_else(|| vanished(cause));
            return Err(refusal);
        }
        self.weigh(Some(0));
        let begun = self.begun.unwrap_or(ended);
        let (cpu_us, largest_bytes) = syscall::children_usage();
        let exit = Exit {
            status: status.unwrap_or(Status::Signaled(libc::SIGKILL)),
            cause,
            out_of_memory: self.seen.out_of_memory,
            processes_refused: self.seen.too_many,
            out_full: self.seen.out_over,
            tmp_full: self.seen.tmp_over,
            exec_failed: self.exec_failed.take(),
            wall_ms: u64::try_from((ended - begun).as_millis()).unwrap_or(u64::MAX),
            cpu_ms: cpu_us / 1000,
            memory_peak_bytes: self.seen.memory_peak_bytes.max(largest_bytes),
        };
        self.folder.leave_out();
        let told = FromKeeper::Ended(exit);
        if wire::send(self.socket, &told, &[self.folder.out.as_fd()]).is_err() {
            self.folder.remove();
        }
        // Before the socket: when that closes, no lock may be held any more.
        for number in self.folder.descriptors() {
            let _ = syscall::close_between(number, number, 0);
        }
        syscall::exit_now(if gone { 0 } else { cage::REFUSED })
    }
}

fn vanished(cause: Cause) -> Refusal {
    let detail = match cause {
        Cause::Killed => "killed before it was ready".to_owned(),
        Cause::Timeout => format!("not ready within {PREPARE_MS_MAX} ms"),
        Cause::Own | Cause::Lost => "its worker ended before it was ready".to_owned(),
    };
    Refusal {
        wall: "preparation".to_owned(),
        detail,
    }
}

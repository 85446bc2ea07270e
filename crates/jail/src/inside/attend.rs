//! The first process of a container: it looks, lets the child begin, attends to
//! it until it is dead, and tells the station everything.
//!
//! It never waits for the station while the guest's time runs: what cannot be
//! sent yet is kept, and the guest's pipes are left to fill meanwhile. When the
//! station is gone it ends everything, and the container ends with it.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::WaitOptions;

use super::charge::Charge;
use super::measure::Group;
use super::station::{OUT, Station, is_ready};
use super::words::{Bytes, FRAME_LEN_MAX, FromInside, ORDER_LEN_MAX, Order, Seen, ToInside, Voice};
use super::{gather, handover, look};
use crate::cage::privileges;
use crate::event::{Cause, Exit, Status};
use crate::kernel::LANDLOCK;
use crate::protocol::{OrRefuse as _, Refusal, Report, ToWorker};
use crate::wire::{self, Received};
use crate::{cage, syscall};

/// Bytes that wait to be sent before the guest's pipes are left to fill.
const UNSENT_LEN_MAX: usize = FRAME_LEN_MAX;
/// Bytes read of a pipe at once.
const PART_LEN: usize = 32 << 10;
pub(super) const PREPARATION: &str = "preparation";

/// Lives to the end; the exit code.
pub(super) fn live() -> i32 {
    let _ = rustix::thread::set_name(c"strongroom-init");
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let mut station = Station::default();
    match serve(&mut station) {
        Ok(()) => 0,
        Err(Refusal { wall, detail }) => {
            // Where nobody hears it, nobody needs to know.
            let _ = station.say(&FromInside::Refused { wall, detail });
            cage::REFUSED
        }
    }
}

fn serve(station: &mut Station) -> Result<(), Refusal> {
    let Some(order) = station.order().or_refuse(PREPARATION, "hear the order")? else {
        return Ok(());
    };
    let group = Group::here();
    look::around(&order, &group)?;
    let landlock_abi = syscall::landlock_abi()
        .ok_or("this kernel has none")
        .or_refuse(LANDLOCK, "find its version")?;
    if let Some(path) = &order.gateway {
        handover::hand_over(path)?;
    }
    let signals = syscall::child_signals().or_refuse(PREPARATION, "hear of children")?;
    let charge = Charge::start(&order, landlock_abi)?;
    // After the fork, since the child has to reach its own `/proc/self` first.
    privileges::hide_memory()?;
    charge.until_ready()?;
    let seen = Seen {
        landlock_abi,
        cgroup: group.as_str().to_owned(),
    };
    let told = station.say(&FromInside::Ready(seen));
    told.or_refuse(PREPARATION, "say that all walls stand")?;
    match station.hear().or_refuse(PREPARATION, "hear the start")? {
        Some(ToInside::Begin) => {}
        _ => return Ok(()),
    }
    let begin = ToWorker::Begin { program: None };
    wire::send(&charge.socket, &begin, &[]).or_refuse(PREPARATION, "pass on the start")?;
    let attended = Attend::new(station, &order, charge, signals).attend();
    attended.or_refuse(PREPARATION, "attend to the guest")
}

/// One of the guest's pipes; closed at its end.
struct Pipe {
    voice: Voice,
    file: Option<File>,
}

struct Attend<'a> {
    station: &'a mut Station,
    order: &'a Order,
    pid: i32,
    socket: OwnedFd,
    signals: OwnedFd,
    pipes: [Pipe; 3],
    log_left: u64,
    value_left: u64,
    began: Instant,
    cause: Cause,
    status: Option<i32>,
}

impl<'a> Attend<'a> {
    fn new(station: &'a mut Station, order: &'a Order, charge: Charge, signals: OwnedFd) -> Self {
        let [out, errors, result] = charge.pipes;
        let pipe = |voice, end: OwnedFd| Pipe {
            voice,
            file: Some(File::from(end)),
        };
        Self {
            station,
            order,
            pid: charge.pid,
            socket: charge.socket,
            signals,
            pipes: [
                pipe(Voice::Stdout, out),
                pipe(Voice::Stderr, errors),
                pipe(Voice::Result, result),
            ],
            // One more tells what is full from what is over.
            log_left: order.log_bytes.saturating_add(1),
            value_left: order.value_bytes.saturating_add(1),
            began: Instant::now(),
            cause: Cause::Own,
            status: None,
        }
    }

    fn attend(mut self) -> io::Result<()> {
        let deadline = self.began + Duration::from_millis(self.order.limits.wall_ms);
        while self.status.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() && self.cause == Cause::Own {
                self.end(Cause::Timeout);
            }
            self.wait((self.cause == Cause::Own).then_some(left))?;
        }
        let wall_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Nobody but this process and its children is in here, so that nobody is
        // left when it has none.
        syscall::kill_all_others();
        while syscall::wait_any().is_ok() {}
        self.drain()?;
        let exit = self.exit(wall_ms);
        let leaves_something = exit.cause == Cause::Own && !exit.out_of_memory;
        self.station.say(&FromInside::Dead(exit))?;
        match leaves_something {
            true => gather::tell(self.station, &self.order.limits),
            false => self.station.say(&FromInside::Over),
        }
    }

    fn end(&mut self, cause: Cause) {
        self.cause = cause;
        syscall::kill_all_others();
    }

    /// Waits for whatever comes first, and sees to it.
    fn wait(&mut self, left: Option<Duration>) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        let keeps_up = self.station.unsent.len() < UNSENT_LEN_MAX;
        let mut ends = vec![PollFd::new(&self.signals, PollFlags::IN)];
        if self.cause == Cause::Own {
            ends.push(PollFd::new(&stdin, PollFlags::IN));
        }
        if !self.station.unsent.is_empty() {
            ends.push(PollFd::new(&OUT, PollFlags::OUT));
        }
        if keeps_up {
            let open = self.pipes.iter().filter_map(|pipe| pipe.file.as_ref());
            ends.extend(open.map(|file| PollFd::new(file, PollFlags::IN)));
        }
        let time = left.map(|left| Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match poll(&mut ends, time.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        drop(ends);
        self.reap()?;
        if self.cause == Cause::Own && is_ready(stdin, PollFlags::IN) {
            self.hear()?;
        }
        if keeps_up {
            self.pass_on()?;
        }
        if !self.station.unsent.is_empty() && is_ready(OUT, PollFlags::OUT) {
            self.station.send()?;
        }
        Ok(())
    }

    fn hear(&mut self) -> io::Result<()> {
        let is_there = self.station.listen()?;
        let message: Option<ToInside> = self.station.heard.next(ORDER_LEN_MAX)?;
        if !is_there || matches!(message, Some(ToInside::Kill)) {
            self.end(Cause::Killed);
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        // Read empty first, so that no end is overlooked.
        let mut told = [0; 1024];
        while rustix::io::read(&self.signals, &mut told).is_ok() {}
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => {
                    if pid.as_raw_nonzero().get() == self.pid {
                        self.status = Some(status.as_raw());
                    }
                }
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Passes on what the guest said, as far as it is there.
    fn pass_on(&mut self) -> io::Result<bool> {
        let mut any = false;
        for pipe in &mut self.pipes {
            let Some(file) = &mut pipe.file else {
                continue;
            };
            if !is_ready(file.as_fd(), PollFlags::IN) {
                continue;
            }
            let mut part = vec![0; PART_LEN];
            let length = file.read(&mut part)?;
            any = true;
            if length == 0 {
                pipe.file = None;
                continue;
            }
            let left = match pipe.voice {
                Voice::Result => &mut self.value_left,
                Voice::Stdout | Voice::Stderr => &mut self.log_left,
            };
            let kept = usize::try_from(*left).map_or(length, |left| left.min(length));
            *left -= kept as u64;
            part.truncate(kept);
            if !part.is_empty() {
                let voice = pipe.voice;
                self.station.queue(&FromInside::Said {
                    voice,
                    bytes: Bytes(part),
                })?;
            }
        }
        Ok(any)
    }

    /// What a dead guest left in its pipes: no more than they hold.
    fn drain(&mut self) -> io::Result<()> {
        while self.pass_on()? {}
        Ok(())
    }

    fn exit(&self, wall_ms: u64) -> Exit {
        let exec_failed = match wire::receive_now::<Report>(&self.socket) {
            Ok(Received::Frame(Report::ExecFailed(why), _)) => Some(why),
            _ => None,
        };
        let group = Group::here();
        Exit {
            status: status(self.status.unwrap_or_default()),
            cause: self.cause,
            out_of_memory: group.out_of_memory(),
            processes_refused: group.processes_refused(),
            out_full: look::is_full("/out"),
            tmp_full: look::is_full("/tmp") || look::is_full("/dev/shm"),
            exec_failed,
            wall_ms,
            cpu_ms: group.cpu_ms(),
            memory_peak_bytes: group.memory_peak_bytes(),
        }
    }
}

fn status(raw: i32) -> Status {
    if libc::WIFSIGNALED(raw) {
        Status::Signaled(libc::WTERMSIG(raw))
    } else {
        Status::Exited(libc::WEXITSTATUS(raw))
    }
}

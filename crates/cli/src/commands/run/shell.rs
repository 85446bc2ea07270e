//! `strongroom run ./f --shell`: a person in the place of the function.
//!
//! The guest has a terminal of its own, and this passes on what is typed and
//! what is shown. The person's terminal is never the guest's: it cannot type
//! into it, and of what it sends only what [`Screen`] knows to be harmless
//! arrives. Whatever happens the terminal is as it was afterwards.

use std::{
    io::{self, IsTerminal as _, Write as _},
    os::fd::{AsFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use strongroom_core::run::Reason;
use strongroom_server::trial::{self, Terminal, Trial};

use super::screen::Screen;
use crate::{
    error::{CliError, Outcome},
    interrupt::on_end,
    ui::Ui,
};

/// How long a person's shell may take if nobody says: thinking is slow.
pub const TIME: &str = "time=1h";
/// Between two looks at the size of the window.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
const PART_BYTES: usize = 4096;

/// Runs a shell where the function would run, until it ends.
pub fn run(ui: &mut Ui, mut trial: Trial) -> Result<Outcome, CliError> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        let message = "--shell needs a terminal";
        let hint = "without one, `--entry FILE` runs another file of the function";
        return Err(CliError::wrong_use_with_hint(message, hint));
    }
    let (ours, theirs) = pair().map_err(CliError::Output)?;
    let kind = std::env::var("TERM").unwrap_or_default();
    trial.terminal = Some(Terminal::new(theirs, &kind));
    ui.say(format_args!(
        "a shell where {} would run; its arguments are in {}",
        trial.function.display(),
        trial::ARGUMENTS
    ))?;
    ui.flush()?;
    let raw = Arc::new(Raw::make().map_err(CliError::Output)?);
    let mended = Arc::clone(&raw);
    on_end(move || mended.undo());
    let passing = Passing::start(ours);
    let ended = trial::run(&trial, |_, _| {});
    passing.stop();
    raw.undo();
    let ended = ended?;
    ui.say(format_args!("the shell ended: {}", ended.reason))?;
    // How a shell ends says nothing of the function.
    let is_end = matches!(ended.reason, Reason::Succeeded | Reason::Failed { .. });
    Ok(Outcome::of(is_end))
}

/// Our side of a new pair of terminals, and the guest's.
fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    Ok((ours, theirs))
}

/// The person's terminal, which passes on every key until that is undone.
struct Raw(Termios);

impl Raw {
    fn make() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw)?;
        Ok(Self(before))
    }
}

impl Raw {
    /// Makes it what it was. Doing that twice does no harm.
    fn undo(&self) {
        let mut out = io::stdout();
        let _ = out.write_all(Screen::RESET).and_then(|()| out.flush());
        // What was typed and not read is forgotten: no shell outside gets it.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Two threads, one for each direction.
struct Passing {
    over: Arc<AtomicBool>,
    threads: [JoinHandle<()>; 2],
}

impl Passing {
    fn start(ours: OwnedFd) -> Self {
        let (ours, over) = (Arc::new(ours), Arc::new(AtomicBool::new(false)));
        let typed = (Arc::clone(&ours), Arc::clone(&over));
        let shown = (ours, Arc::clone(&over));
        let threads = [
            thread::spawn(move || pass_typed(&typed.0, &typed.1)),
            thread::spawn(move || pass_shown(&shown.0, &shown.1)),
        ];
        Self { over, threads }
    }

    /// Ends both, once what the guest has sent is shown.
    fn stop(self) {
        self.over.store(true, Ordering::Release);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// Passes on what is typed, and the size of the window.
fn pass_typed(ours: &OwnedFd, over: &AtomicBool) {
    let mut size = None;
    let mut part = [0; PART_BYTES];
    while !over.load(Ordering::Acquire) {
        let now = tcgetwinsize(io::stdin()).ok();
        let now = now.map(|size| (size.ws_row, size.ws_col));
        if size != now
            && let Ok(window) = tcgetwinsize(io::stdin())
        {
            let _ = tcsetwinsize(ours, window);
            size = now;
        }
        match is_ready(io::stdin()) {
            Some(true) => {}
            Some(false) => continue,
            None => return,
        }
        match rustix::io::read(io::stdin(), &mut part) {
            Ok(count) if 0 < count && write_all(ours, &part[..count]) => {}
            _ => return,
        }
    }
}

/// Passes on what the guest shows.
fn pass_shown(ours: &OwnedFd, over: &AtomicBool) {
    let (mut screen, mut part) = (Screen::default(), [0; PART_BYTES]);
    let mut out = io::stdout();
    loop {
        // Looked at first: what came before the end is shown.
        let is_over = over.load(Ordering::Acquire);
        match is_ready(ours) {
            Some(false) if is_over => return,
            Some(false) => continue,
            Some(true) => {}
            None => return,
        }
        // An error is the other side without anybody at it.
        let Ok(count @ 1..) = rustix::io::read(ours, &mut part) else {
            match is_over {
                true => return,
                false => continue,
            }
        };
        let shown = screen.pass(&part[..count]);
        if out.write_all(&shown).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}

/// Whether there is something to read, after a while at most.
fn is_ready(from: impl AsFd) -> Option<bool> {
    match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&LOOK)) {
        Ok(ready) => Some(0 < ready),
        Err(rustix::io::Errno::INTR) => Some(false),
        Err(_) => None,
    }
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    true
}

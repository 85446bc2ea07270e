//! What a worker executes at last, made while allocation is unremarkable.

use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{Access, AtFlags, CWD};

use crate::jail::Program;
use crate::protocol::{OrRefuse as _, Refusal, Report, ToWorker};
use crate::wire::{self, Received};
use crate::{cage, syscall};

/// Not a wall of the host but a fault in the jail's description.
pub(crate) const COMMAND: &str = "command";
/// What a shell answers when a program cannot be executed.
pub(crate) const NOT_EXECUTED: i32 = 127;

/// The strings of an exec.
pub(crate) struct Command {
    argv: Vec<CString>,
    env: Vec<CString>,
}

impl Command {
    /// Enters the program's working directory, and sees that it can be executed.
    /// `wall` is refused when the directory cannot be entered.
    pub(crate) fn of(program: &Program, wall: &str) -> Result<Self, Refusal> {
        rustix::process::chdir(&program.cwd).or_refuse(wall, "enter the working directory")?;
        if let Some(path) = program.argv.first() {
            rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)
                .or_refuse(COMMAND, &format!("find the program {path}"))?;
        }
        let text = |text: String| CString::new(text).or_refuse(COMMAND, "pass a text");
        let pairs = program
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let argv = program.argv.iter().cloned().map(text);
        Ok(Self {
            argv: argv.collect::<Result<_, _>>()?,
            env: pairs.map(text).collect::<Result<_, _>>()?,
        })
    }

    /// Becomes the program; comes back with why it could not.
    pub(crate) fn execute(&self) -> io::Error {
        let Some(path) = self.argv.first() else {
            syscall::exit_now(cage::REFUSED)
        };
        syscall::execute(path, &self.argv, &self.env)
    }

    /// Says on `socket` that all walls stand, and becomes the program when told to.
    pub(crate) fn execute_when_told(&self, socket: &OwnedFd) -> Result<Infallible, Refusal> {
        say(socket, &Report::Ready).or_refuse(COMMAND, "say that all walls stand")?;
        match wire::receive::<ToWorker>(socket).or_refuse(COMMAND, "hear the start")? {
            Received::Frame(ToWorker::Begin { program: None }, _) => {}
            _ => syscall::exit_now(cage::REFUSED),
        }
        let error = self.execute();
        let _ = say(socket, &Report::ExecFailed(error.to_string()));
        syscall::exit_now(NOT_EXECUTED)
    }
}

/// Behind the filter no message may carry descriptors, and this call cannot.
fn say(socket: &OwnedFd, report: &Report) -> io::Result<()> {
    rustix::io::write(socket, &wire::encode(report)?)?;
    Ok(())
}

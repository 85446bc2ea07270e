//! Starting the warden's process, and the pipes of guests.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, OFlags, SealFlags};
use rustix::pipe::PipeFlags;

use crate::mutation;
use crate::warden::NAME;

/// A copy of the program that nobody can change any more.
pub(super) fn sealed_copy(program: &Path) -> io::Result<OwnedFd> {
    let plain = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag and need none.
    let image = rustix::fs::memfd_create("warden", plain | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create("warden", plain))?;
    let mut target = std::fs::File::from(image);
    io::copy(&mut std::fs::File::open(program)?, &mut target)?;
    let image = OwnedFd::from(target);
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&image, seals)?;
    // An image open for writing anywhere cannot be executed.
    crate::jail::read_only(image)
}

/// Starts the program as a warden, on a thread that stays to reap it.
pub(super) fn launch(image: OwnedFd, socket: OwnedFd) -> io::Result<(u32, JoinHandle<()>)> {
    let (tell, told) = std::sync::mpsc::sync_channel::<io::Result<u32>>(1);
    let reaper = std::thread::Builder::new()
        .name("strongroom-warden".to_owned())
        .spawn(move || match execute(&image, socket) {
            Ok(mut child) => {
                let _ = tell.send(Ok(child.id()));
                drop(image);
                let _ = child.wait();
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        })?;
    let process_id = told.recv().map_err(io::Error::other)??;
    Ok((process_id, reaper))
}

fn execute(image: &OwnedFd, socket: OwnedFd) -> io::Result<Child> {
    let mut warden = Command::new(format!("/proc/self/fd/{}", image.as_raw_fd()));
    warden
        .arg0(NAME)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(socket))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit());
    mutation::hand_on(&mut warden);
    warden.spawn()
}

/// A reading end that does not block, and a writing end that does.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// Waits for `socket` to become ready; `false` when the time is over.
pub(super) fn ready(socket: &OwnedFd, what: PollFlags, ms_max: i64) -> io::Result<bool> {
    let span = Duration::from_millis(ms_max.cast_unsigned());
    let time = Timespec::try_from(span).map_err(io::Error::other)?;
    loop {
        match poll(&mut [PollFd::new(socket, what)], Some(&time)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(0 < other?),
        }
    }
}

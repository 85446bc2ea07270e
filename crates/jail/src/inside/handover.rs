//! How what listens in a container's network gets to the station.
//!
//! The first process opens the gateway's port in the network of its container
//! and sends the descriptor over a socket in a folder that both see. So the
//! station answers the guest itself, and no byte of theirs passes through
//! anything else. The guest can reach neither the folder nor the socket.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::words::FromInside;
use crate::GATEWAY;
use crate::kernel::GATEWAY as WALL;
use crate::protocol::{OrRefuse as _, Refusal};
use crate::wire::{self, Received};

/// What the socket is called in its folder.
pub const SOCKET: &str = "socket";
/// Who may wait to hand something over: one.
const WAITING_MAX: i32 = 1;

/// The station's end.
#[derive(Debug)]
pub struct Handover {
    socket: OwnedFd,
}

impl Handover {
    /// Waits in this folder for what is handed over.
    ///
    /// # Errors
    ///
    /// When no socket can be made there; the host is at fault.
    pub fn listen(folder: &Path) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = unix(flags)?;
        rustix::net::bind(&socket, &SocketAddrUnix::new(folder.join(SOCKET))?)?;
        rustix::net::listen(&socket, WAITING_MAX)?;
        Ok(Self { socket })
    }

    /// What was handed over. It has been when its container is ready.
    ///
    /// # Errors
    ///
    /// When it was not.
    pub fn take(self) -> io::Result<OwnedFd> {
        let met = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC)?;
        match wire::receive_now::<FromInside>(&met)? {
            Received::Frame(FromInside::Over, mut descriptors) if descriptors.len() == 1 => {
                Ok(descriptors.remove(0))
            }
            _ => Err(io::Error::other("nothing was handed over")),
        }
    }
}

/// Opens the port and hands it to the station, which waits at `path`.
pub(super) fn hand_over(path: &Path) -> Result<(), Refusal> {
    let listener = TcpListener::bind(GATEWAY).or_refuse(WALL, "open the port")?;
    listener
        .set_nonblocking(true)
        .or_refuse(WALL, "let it not block")?;
    reach(path, &listener).or_refuse(WALL, "hand the port over")
}

fn reach(path: &Path, listener: &TcpListener) -> io::Result<()> {
    let socket = unix(SocketFlags::CLOEXEC)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?;
    wire::send(&socket, &FromInside::Over, &[listener.as_fd()])
}

fn unix(flags: SocketFlags) -> io::Result<OwnedFd> {
    let kind = SocketType::SEQPACKET;
    Ok(rustix::net::socket_with(
        AddressFamily::UNIX,
        kind,
        flags,
        None,
    )?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_listens_arrives_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let station = Handover::listen(folder.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        reach(&folder.path().join(SOCKET), &listener).unwrap();
        let taken = TcpListener::from(station.take().unwrap());
        assert_eq!(taken.local_addr().unwrap(), listener.local_addr().unwrap());

        let other = tempfile::tempdir().unwrap();
        let nobody = Handover::listen(other.path()).unwrap();
        assert!(nobody.take().is_err());
    }
}

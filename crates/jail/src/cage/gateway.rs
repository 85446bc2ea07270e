//! The one socket of a gateway, made where the guest will find it.
//!
//! The keeper is in the guest's network already, and alone there: it brings
//! the loopback up, opens one listening socket and hands it to the warden.
//! The rule: this network is the guest's own and nobody else is in it, never
//! one that a zygote and its copies share. Deliberately absent: addresses,
//! routes and any other interface; nothing leaves except through that socket.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::jail::{GATEWAY, Origin};
use crate::kernel;
use crate::protocol::{Build, OrRefuse as _, Refusal};
use crate::syscall;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// What the kernel keeps of one connection in each direction, on our side.
const BUFFER_BYTES: usize = 128 * 1024;

/// The listening socket, if the order wants a gateway.
pub(super) fn open(order: &Build) -> Result<Option<OwnedFd>, Refusal> {
    let spec = &order.spec;
    if !spec.gateway {
        return Ok(None);
    }
    // Without a network of its own the guest would listen on the host's.
    if spec.origin != Origin::Program || spec.waiting.is_some() {
        return Err("its network is not its own").or_refuse(kernel::GATEWAY, "open one");
    }
    syscall::loopback_up().or_refuse(kernel::GATEWAY, "bring the loopback up")?;
    let listener = listen().or_refuse(kernel::GATEWAY, "listen inside")?;
    Ok(Some(listener))
}

fn listen() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let listener = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    // Connections inherit these.
    sockopt::set_socket_recv_buffer_size(&listener, BUFFER_BYTES)?;
    sockopt::set_socket_send_buffer_size(&listener, BUFFER_BYTES)?;
    rustix::net::bind(&listener, &GATEWAY)?;
    rustix::net::listen(&listener, BACKLOG)?;
    Ok(listener)
}

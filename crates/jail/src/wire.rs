//! Frames with descriptors, over sequenced-packet sockets.
//!
//! One frame is one packet, so frames never mix and never need reassembly.
//! A frame has at most [`FRAME_BYTES_MAX`] bytes and [`DESCRIPTORS_MAX`]
//! descriptors, all close-on-exec on arrival. Who may open no more files is
//! told so, frame by frame. Deliberately absent: any other tolerance; a frame
//! that does not decode ends the conversation.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use serde::{Serialize, de::DeserializeOwned};

/// The longest frame. Fits the kernel's default socket buffer.
pub(crate) const FRAME_BYTES_MAX: usize = 128 * 1024;
/// The most descriptors that travel with one frame.
pub(crate) const DESCRIPTORS_MAX: usize = 9;

/// What arrived.
pub(crate) enum Received<T> {
    Frame(T, Vec<OwnedFd>),
    /// A whole frame whose descriptors this process had no room for; none is kept.
    Bare(T),
    /// Nothing yet, and the caller did not want to wait.
    Nothing,
    /// The other side is gone.
    End,
}

/// Two connected ends, close-on-exec.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Encodes a frame, refusing one that is too long.
pub(crate) fn encode<T: Serialize>(message: &T) -> io::Result<Vec<u8>> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if FRAME_BYTES_MAX < bytes.len() {
        return Err(io::Error::other(format!(
            "frame of {} bytes is too long",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// Sends a frame, waiting for room.
pub(crate) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    send_encoded(socket, &encode(message)?, descriptors, SendFlags::NOSIGNAL)
}

/// Sends an encoded frame; with `DONTWAIT` it fails rather than waits. A frame
/// alone goes by the call that could not carry more, which is all that filters
/// leave to those behind them.
pub(crate) fn send_encoded(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors for one frame"));
    }
    loop {
        let sent = match descriptors.is_empty() {
            true => rustix::net::send(&socket, bytes, flags),
            false => rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags),
        };
        match sent {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Receives a frame, waiting for one.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Received<T>> {
    receive_with(socket, RecvFlags::CMSG_CLOEXEC)
}

/// Receives a frame if one is there.
pub(crate) fn receive_now<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Received<T>> {
    receive_with(socket, RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT)
}

/// The length of the next frame, so that no more is set aside than it takes;
/// 0 at the end, `None` when the caller does not want to wait for it.
fn next_length(socket: impl AsFd, flags: RecvFlags) -> io::Result<Option<usize>> {
    let look = flags.difference(RecvFlags::CMSG_CLOEXEC) | RecvFlags::PEEK | RecvFlags::TRUNC;
    loop {
        match rustix::net::recv(&socket, &mut [0u8; 0], look) {
            Ok((_, length)) => return Ok(Some(length)),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(None),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Some(0)),
            Err(error) => return Err(error.into()),
        }
    }
}

fn receive_with<T: DeserializeOwned>(
    socket: impl AsFd,
    flags: RecvFlags,
) -> io::Result<Received<T>> {
    let length = match next_length(&socket, flags)? {
        Some(0) => return Ok(Received::End),
        Some(length) => length,
        None => return Ok(Received::Nothing),
    };
    let mut bytes = vec![0; length.min(FRAME_BYTES_MAX)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = loop {
        let mut slices = [IoSliceMut::new(&mut bytes)];
        match rustix::net::recvmsg(&socket, &mut slices, &mut control, flags) {
            Ok(got) => break got,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => return Ok(Received::Nothing),
            Err(rustix::io::Errno::CONNRESET) => return Ok(Received::End),
            Err(error) => return Err(error.into()),
        }
    };
    let descriptors: Vec<OwnedFd> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(rights) => Some(rights),
            _ => None,
        })
        .flatten()
        .collect();
    if got.bytes == 0 {
        return Ok(Received::End);
    }
    if got.flags.intersects(ReturnFlags::TRUNC) {
        return Err(io::Error::other("received a frame that was cut short"));
    }
    let message = postcard::from_bytes(&bytes[..got.bytes]).map_err(io::Error::other)?;
    match got.flags.intersects(ReturnFlags::CTRUNC) {
        true => Ok(Received::Bare(message)),
        false => Ok(Received::Frame(message, descriptors)),
    }
}

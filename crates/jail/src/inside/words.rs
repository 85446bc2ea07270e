//! What a station and the first process of its container say to each other.
//!
//! A frame is its length, four bytes with the lowest first, and then that many
//! bytes. Both directions have a bound. What comes from inside may be anybody's
//! bytes, should that process ever be taken over: each frame is decoded as a
//! whole or ends the conversation.

use std::path::PathBuf;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::event::Exit;
use crate::jail::Program;
use crate::limits::Limits;

/// The longest order, in bytes: the arguments travel with it.
pub const ORDER_LEN_MAX: usize = 16 << 20;
/// The longest frame from inside, in bytes.
pub const FRAME_LEN_MAX: usize = 256 << 10;

/// Station to container.
#[derive(Debug, Serialize, Deserialize)]
pub enum ToInside {
    Order(Box<Order>),
    Begin,
    Kill,
}

/// What is to run, and what has to stand around it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    pub limits: Limits,
    pub program: Program,
    /// The guest's input.
    pub input: Bytes,
    /// Folders that the guest may read, and whether programs run from them.
    pub folders: Vec<(PathBuf, bool)>,
    /// Single files that it may read.
    pub files: Vec<PathBuf>,
    /// More than this is not passed on of its log, in bytes.
    pub log_bytes: u64,
    /// More than this is not passed on of its value, in bytes.
    pub value_bytes: u64,
    /// Where the station waits for what listens on [`GATEWAY`](crate::GATEWAY)
    /// in the container's network; absent where there is no gateway.
    pub gateway: Option<PathBuf>,
}

/// Container to station.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromInside {
    /// Every wall stands and the guest waits just before its first instruction.
    Ready(Seen),
    /// Something that was ordered is not there. Nothing of the guest has run.
    Refused { wall: String, detail: String },
    /// The guest said something.
    Said { voice: Voice, bytes: Bytes },
    /// The guest is dead, all of it.
    Dead(Exit),
    /// Something in `/out`; parents come before what they hold.
    Entry(Entry),
    /// A part of the last file.
    Content(Bytes),
    /// All of `/out` was told.
    Over,
}

/// What the first process found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub landlock_abi: u32,
    /// `v1` or `v2`.
    pub cgroup: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Voice {
    Stdout,
    Stderr,
    /// The returned value.
    Result,
}

/// Something that the guest left in `/out`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its path below `/out`, name by name, as the guest wrote them.
    pub path: Vec<Vec<u8>>,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Folder,
    /// `content` tells whether its bytes follow.
    File {
        size_bytes: u64,
        content: bool,
    },
    /// A file with more than one name.
    FileOfManyNames,
    Link,
    Fifo,
    Socket,
    Device,
}

/// Bytes that travel as they are, and not one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Whole;
        impl serde::de::Visitor<'_> for Whole {
            type Value = Bytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        from.deserialize_byte_buf(Whole)
    }
}

/// A message as a frame.
///
/// # Errors
///
/// When it is longer than a frame can say.
pub fn frame<T: Serialize>(message: &T) -> std::io::Result<Vec<u8>> {
    let body = postcard::to_stdvec(message).map_err(std::io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(std::io::Error::other)?;
    let mut frame = Vec::with_capacity(4 + body.len());
    frame.extend_from_slice(&length.to_le_bytes());
    frame.extend_from_slice(&body);
    Ok(frame)
}

/// Bytes that become messages.
#[derive(Debug, Default)]
pub struct Unframed {
    pending: Vec<u8>,
}

impl Unframed {
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    ///
    /// # Errors
    ///
    /// When it is longer than `length_max` or no message; nothing after it can
    /// be read.
    pub fn next<T: DeserializeOwned>(&mut self, length_max: usize) -> std::io::Result<Option<T>> {
        let Some((head, rest)) = self.pending.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_le_bytes(*head)).map_err(std::io::Error::other)?;
        if length_max < length {
            return Err(std::io::Error::other(format!(
                "a frame of {length} bytes is too long"
            )));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = postcard::from_bytes(body).map_err(std::io::Error::other)?;
        self.pending.drain(..4 + length);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn frames_come_out_as_they_went_in_however_they_were_cut() {
        let mut bytes = frame(&ToInside::Begin).unwrap();
        bytes.extend(frame(&ToInside::Kill).unwrap());
        let mut unframed = Unframed::default();
        let mut seen = Vec::new();
        for byte in bytes {
            unframed.push(&[byte]);
            while let Some(message) = unframed.next::<ToInside>(ORDER_LEN_MAX).unwrap() {
                seen.push(matches!(message, ToInside::Kill));
            }
        }
        assert_eq!(seen, [false, true]);
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let bytes = Bytes((0..=255).collect());
        let mut unframed = Unframed::default();
        unframed.push(&frame(&FromInside::Content(bytes.clone())).unwrap());
        match unframed.next::<FromInside>(FRAME_LEN_MAX).unwrap() {
            Some(FromInside::Content(found)) => assert_eq!(found, bytes),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_frame_that_is_too_long_or_no_message_is_an_error() {
        let mut long = Unframed::default();
        long.push(&u32::MAX.to_le_bytes());
        assert!(long.next::<FromInside>(FRAME_LEN_MAX).is_err());
        let mut garbled = Unframed::default();
        garbled.push(&[2, 0, 0, 0, 0xff, 0xff]);
        assert!(garbled.next::<FromInside>(FRAME_LEN_MAX).is_err());
        let mut full = Unframed::default();
        full.push(&u32::try_from(FRAME_LEN_MAX).unwrap().to_le_bytes());
        assert!(full.next::<FromInside>(FRAME_LEN_MAX).unwrap().is_none());
    }
}

//! Laws of the frames between our own processes, tried on arbitrary packets.
//!
//! No guest ever holds one of these sockets. If one did, it should gain nothing:
//! a packet decodes to a message that says the same when it is sent on, or ends
//! the conversation; and no paths pass the check that lead out of the root.
#![allow(clippy::unwrap_used)]

use rustix::net::SendFlags;
use serde::{Serialize, de::DeserializeOwned};

use crate::jail::{Attachment, Spec};
use crate::protocol::{Build, FromWarden, Graft, Report, ToKeeper, ToWarden, ToWorker};
use crate::wire::{self, Received};

pub fn frames(bytes: &[u8]) {
    received::<ToWarden>(bytes);
    received::<FromWarden>(bytes);
    received::<Report>(bytes);
    received::<ToWorker>(bytes);
    received::<Graft>(bytes);
    received::<ToKeeper>(bytes);
    if let Some(attachment) = received::<Attachment>(bytes)
        && attachment.check().is_ok()
    {
        let mut spec = Spec::rehearsal();
        spec.mounts = attachment.mounts;
        no_path_leaves_the_root(&spec);
    }
    if let Some(build) = received::<Build>(bytes) {
        no_path_leaves_the_root(&build.spec);
    }
    if let Some(spec) = received::<Spec>(bytes) {
        no_path_leaves_the_root(&spec);
    }
}

/// Sends the bytes as a packet, and sends on what they mean.
fn received<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let message: T = through_a_socket(bytes)?;
    let said = wire::encode(&message).unwrap();
    let again: T = through_a_socket(&said)?;
    assert_eq!(wire::encode(&again).unwrap(), said);
    Some(message)
}

fn through_a_socket<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (ours, theirs) = wire::pair().unwrap();
    wire::send_encoded(&ours, bytes, &[], SendFlags::NOSIGNAL).unwrap();
    match wire::receive_now(&theirs) {
        Ok(Received::Frame(message, descriptors)) => {
            assert!(descriptors.is_empty());
            Some(message)
        }
        Ok(Received::End) => {
            assert!(bytes.is_empty());
            None
        }
        Ok(Received::Bare(_)) => panic!("a packet had descriptors that were lost"),
        Ok(Received::Nothing) => panic!("a packet was lost"),
        Err(_) => None,
    }
}

fn no_path_leaves_the_root(spec: &Spec) {
    if spec.check_paths().is_err() {
        return;
    }
    let guests = spec.mounts.iter().map(|mount| &mount.guest);
    for path in guests.chain(spec.files.iter().map(|(path, _)| path)) {
        assert!(path.is_absolute());
        assert!(path.components().all(|part| part.as_os_str() != ".."));
    }
}

#[cfg(test)]
#[path = "../../../fuzz/try_law.rs"]
mod trying;

#[cfg(test)]
mod tests {
    use super::{trying::try_law, *};
    use crate::event::SlotId;
    use crate::protocol::Refusal;
    use crate::supervisor::WardenConfig;

    /// What is really said between them.
    fn spoken() -> Vec<Vec<u8>> {
        let slot = SlotId(3);
        let spec = Box::new(Spec::rehearsal());
        let refusal = Refusal {
            wall: "landlock".to_owned(),
            detail: "could not".to_owned(),
        };
        let build = Build {
            host_uid: 1,
            host_gid: 1,
            landlock_abi: 7,
            copies: Some(5..9),
            spec: spec.clone(),
        };
        vec![
            wire::encode(&ToWarden::Configure(WardenConfig::default())).unwrap(),
            wire::encode(&ToWarden::Prepare { slot, spec }).unwrap(),
            wire::encode(&ToWarden::Kill { slot }).unwrap(),
            wire::encode(&FromWarden::Refused {
                slot,
                refusal: refusal.clone(),
            })
            .unwrap(),
            wire::encode(&build).unwrap(),
            wire::encode(&Report::Refused(refusal)).unwrap(),
            wire::encode(&Report::Ended { wait_status: 9 }).unwrap(),
        ]
    }

    #[test]
    fn a_frame_means_one_thing_or_nothing() {
        let known: &[&[u8]] = &[
            b"/",
            b"../",
            b"\0",
            b"\x80",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x01",
            b"/out",
            b"/usr",
        ];
        try_law("frames", known, &spoken(), frames);
    }
}

//! What is made of what a container tells, and what never is.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::collect::CollectError;

const LIMITS: Limits = Limits {
    out_bytes: 4096,
    out_files: 8,
    ..Limits::DEFAULT
};

fn entry(path: &[&str], kind: Kind) -> Part {
    let path = path.iter().map(|name| name.as_bytes().to_vec()).collect();
    Part::Entry(Entry { path, kind })
}

fn file(path: &[&str], content: &str) -> [Part; 2] {
    let kind = Kind::File {
        size_bytes: content.len() as u64,
        content: true,
    };
    [entry(path, kind), Part::Content(content.into())]
}

fn made(parts: impl IntoIterator<Item = Part>) -> io::Result<OutFolder> {
    let (to, from) = mpsc::channel(64);
    for part in parts {
        to.try_send(part).ok().unwrap();
    }
    drop(to);
    make(&std::env::temp_dir(), &LIMITS, from)
}

fn collected(parts: impl IntoIterator<Item = Part>) -> Result<Vec<(String, String)>, CollectError> {
    let mut texts = Vec::new();
    made(parts).unwrap().collect(&LIMITS, |path, _, reader| {
        let mut text = String::new();
        reader.read_to_string(&mut text)?;
        texts.push((path.to_string(), text));
        Ok(strongroom_core::digest::Digest::of(b""))
    })?;
    Ok(texts)
}

#[test]
fn files_are_made_as_they_were_told() {
    let parts = file(&["b"], "two").into_iter();
    let parts = parts.chain([entry(&["a"], Kind::Folder)]);
    let parts = parts.chain(file(&["a", "c"], "one"));
    let texts = [("a/c", "one"), ("b", "two")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(collected(parts).unwrap(), texts);
}

#[test]
fn what_may_not_come_out_is_refused_by_the_same_law() {
    for (kind, why) in [
        (Kind::Link, "it is a symbolic link"),
        (Kind::Fifo, "it is a FIFO"),
        (Kind::Socket, "it is a socket"),
        (
            Kind::FileOfManyNames,
            "it is a file with more than one name",
        ),
    ] {
        match collected([entry(&["x"], kind)]) {
            Err(CollectError::Refused { path, why: says }) => {
                assert_eq!((path.as_str(), says.as_str()), ("x", why));
            }
            other => panic!("{kind:?}: {other:?}"),
        }
    }
    let huge = Kind::File {
        size_bytes: 1 << 40,
        content: false,
    };
    let refused = collected([entry(&["x"], huge)]);
    assert!(matches!(refused, Err(CollectError::TooLarge { .. })));
}

#[test]
fn nothing_that_is_told_leads_out_of_the_folder_or_over_the_limits() {
    let part = |bytes: &[u8]| Part::Content(bytes.to_vec());
    let of = |size_bytes| Kind::File {
        size_bytes,
        content: true,
    };
    for parts in [
        vec![entry(&[".."], Kind::Folder)],
        vec![entry(&["a/b"], Kind::Folder)],
        vec![entry(&["a\0b"], Kind::Folder)],
        vec![entry(&[""], Kind::Folder)],
        vec![entry(&[], Kind::Folder)],
        vec![entry(&["..", "x"], of(1))],
        // Through a link that was told before.
        vec![entry(&["x"], Kind::Link), entry(&["x", "y"], of(1))],
        vec![entry(&["x"], Kind::Link), entry(&["x"], of(1))],
        vec![part(b"of nothing")],
        vec![entry(&["x"], of(1)), part(b"two")],
        vec![entry(&["x"], of(2)), part(b"1")],
        vec![entry(&["x"], of(4097))],
        vec![
            entry(&["x"], of(4000)),
            part(&[0; 4000]),
            entry(&["y"], of(4000)),
        ],
        (0..10)
            .map(|n| entry(&[&n.to_string()], Kind::Folder))
            .collect(),
    ] {
        assert!(made(parts).is_err());
    }
}

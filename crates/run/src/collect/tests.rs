//! Folders as guests leave them: good, strange and hostile.
#![allow(clippy::unwrap_used)]

mod trees;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use super::*;

const LIMITS: Limits = Limits::DEFAULT;
const CANARY: &[u8] = b"what lies outside";

fn folder(dir: &Path, value_bytes: u64) -> OutFolder {
    let root = rustix::fs::open(dir, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    OutFolder::new(root).beside_value(value_bytes)
}

type Taken = BTreeMap<String, Vec<u8>>;

fn collected(dir: &Path, value_bytes: u64, limits: &Limits) -> Result<Taken, CollectError> {
    let mut taken = Taken::new();
    folder(dir, value_bytes).collect(limits, |path, size, reader| {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes)?;
        assert_eq!(bytes.len() as u64, size);
        let digest = Digest::of(&bytes);
        taken.insert(path.to_string(), bytes);
        Ok(digest)
    })?;
    Ok(taken)
}

/// Makes one entry in a fresh folder; the folder must be refused for it.
#[track_caller]
fn refuses(make: impl FnOnce(&Path), path: &str, why: &str) {
    let around = tempfile::tempdir().unwrap();
    let dir = around.path().join("out");
    fs::create_dir(&dir).unwrap();
    make(&dir);
    match collected(&dir, 0, &LIMITS) {
        Err(CollectError::Refused {
            path: is,
            why: says,
        }) => {
            assert_eq!((is.as_str(), says.as_str()), (path, why));
        }
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn files_in_folders_are_taken_in_order_with_their_sizes() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("b/c")).unwrap();
    fs::create_dir_all(dir.path().join("empty/folder")).unwrap();
    fs::write(dir.path().join("b/c/two.txt"), "two").unwrap();
    fs::write(dir.path().join("a.txt"), "").unwrap();
    let files = folder(dir.path(), 0)
        .collect(&LIMITS, |_, _, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            Ok(Digest::of(&bytes))
        })
        .unwrap();
    let rows: Vec<_> = files
        .iter()
        .map(|file| (file.path.as_str(), file.size_bytes))
        .collect();
    assert_eq!(rows, [("a.txt", 0), ("b/c/two.txt", 3)]);
    assert_eq!(files[1].digest, Digest::of(b"two"));
}

#[test]
fn an_empty_folder_has_no_outputs() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(collected(dir.path(), 0, &LIMITS).unwrap(), Taken::new());
}

#[test]
fn links_to_files_and_folders_are_refused_by_name() {
    refuses(
        |dir| symlink("/etc/shadow", dir.join("x")).unwrap(),
        "x",
        "it is a symbolic link",
    );
    refuses(
        |dir| symlink("/etc", dir.join("x")).unwrap(),
        "x",
        "it is a symbolic link",
    );
    refuses(
        |dir| symlink("nowhere", dir.join("x")).unwrap(),
        "x",
        "it is a symbolic link",
    );
    let hard = |dir: &Path| {
        fs::write(dir.join("../outside"), CANARY).unwrap();
        fs::create_dir(dir.join("y")).unwrap();
        fs::hard_link(dir.join("../outside"), dir.join("y/z")).unwrap();
    };
    refuses(hard, "y/z", "it is a file with more than one name");
}

#[test]
fn a_fifo_and_a_socket_are_refused_and_nobody_waits_for_them() {
    let fifo = |dir: &Path| {
        rustix::fs::mknodat(CWD, dir.join("x"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    };
    refuses(fifo, "x", "it is a FIFO");
    refuses(
        |dir| drop(UnixListener::bind(dir.join("x")).unwrap()),
        "x",
        "it is a socket",
    );
}

#[test]
fn names_that_no_tree_may_have_are_refused_and_shown_escaped() {
    let named = |name: &'static [u8]| {
        move |dir: &Path| fs::write(dir.join(std::ffi::OsStr::from_bytes(name)), "").unwrap()
    };
    refuses(
        named(b"a\nb"),
        "a\\u{a}b",
        "its path has a control or direction character",
    );
    refuses(named(b"a\\b"), "a\\b", "its path has a backslash");
    refuses(named(b"\xff"), "\u{fffd}", "its path is not UTF-8");
    let folder = |dir: &Path| fs::create_dir(dir.join("\u{202e}x")).unwrap();
    refuses(
        folder,
        "\\u{202e}x",
        "its path has a control or direction character",
    );
}

#[test]
fn names_that_differ_only_in_case_are_refused() {
    let both = |dir: &Path| {
        fs::write(dir.join("A"), "").unwrap();
        fs::write(dir.join("a"), "").unwrap();
    };
    refuses(both, "a", "it differs from `A` only in case");
}

#[test]
fn a_folder_deeper_than_a_path_may_be_is_refused() {
    let deep = |dir: &Path| fs::create_dir_all(dir.join(["d"; 33].join("/"))).unwrap();
    refuses(
        deep,
        &["d"; 33].join("/"),
        "its path is deeper than 32 folders",
    );
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join(["d"; 32].join("/"))).unwrap();
    collected(dir.path(), 0, &LIMITS).unwrap();
}

#[test]
fn files_up_to_the_bound_are_taken_and_one_byte_more_is_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), [0; 60]).unwrap();
    fs::write(dir.path().join("b"), [0; 40]).unwrap();
    let limits = |out_bytes| Limits {
        out_bytes,
        ..LIMITS
    };
    collected(dir.path(), 0, &limits(100)).unwrap();
    collected(dir.path(), 5, &limits(105)).unwrap();
    for (value_bytes, out_bytes) in [(0, 99), (1, 100), (101, 100)] {
        let error = collected(dir.path(), value_bytes, &limits(out_bytes)).unwrap_err();
        assert!(
            matches!(error, CollectError::TooLarge { limit_bytes } if limit_bytes == out_bytes)
        );
    }
}

#[test]
fn a_sparse_file_counts_with_its_whole_size() {
    let dir = tempfile::tempdir().unwrap();
    fs::File::create(dir.path().join("a"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    assert!(matches!(
        collected(dir.path(), 0, &LIMITS),
        Err(CollectError::TooLarge { .. })
    ));
}

#[test]
fn as_many_files_and_folders_as_allowed_are_taken_and_one_more_is_not() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/b"), "").unwrap();
    collected(
        dir.path(),
        0,
        &Limits {
            out_files: 2,
            ..LIMITS
        },
    )
    .unwrap();
    let error = collected(
        dir.path(),
        0,
        &Limits {
            out_files: 1,
            ..LIMITS
        },
    )
    .unwrap_err();
    assert!(matches!(error, CollectError::TooMany { limit: 1 }));
}

#[test]
fn files_and_folders_without_any_permission_are_read_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/b"), "b").unwrap();
    let root = folder(dir.path(), 0);
    for path in ["a/b", "a", ""] {
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(dir.path().join(path), closed).unwrap();
    }
    let files = root
        .collect(&LIMITS, |_, _, _| Ok(Digest::of(b"")))
        .unwrap();
    assert_eq!(files.len(), 1);
}

#[test]
fn nothing_is_kept_of_a_folder_with_one_bad_entry() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("good"), "good").unwrap();
    symlink("good", dir.path().join("zlink")).unwrap();
    let mut kept = 0;
    folder(dir.path(), 0)
        .collect(&LIMITS, |_, _, _| {
            kept += 1;
            Ok(Digest::of(b""))
        })
        .unwrap_err();
    assert_eq!(kept, 0);
}

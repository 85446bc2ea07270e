//! Random folders, still and while somebody changes them: nothing outside is ever
//! touched, and what is taken is what was there.
//!
//! A witness watches every file outside with inotify, so that an open or a look
//! into a folder is seen even where its content never comes out.
#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            ffi::{OsStrExt as _, OsStringExt as _},
            fs::{MetadataExt as _, PermissionsExt as _, symlink},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::Index};
use rustix::fs::{CWD, FileType, Mode, OFlags, inotify};

use super::*;

const LIMITS: Limits = Limits {
    out_bytes: 1 << 20,
    out_files: 60,
    ..Limits::DEFAULT
};
const CANARY: &[u8] = b"what lies outside";
/// The longest that one collection may take before it counts as hung.
const HUNG: Duration = Duration::from_secs(60);

/// A folder `out` with a guarded folder beside it.
struct Place {
    around: tempfile::TempDir,
    witness: OwnedFd,
}

impl Place {
    fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        let outside = around.path().join("outside");
        fs::create_dir_all(outside.join("inner")).unwrap();
        fs::create_dir(around.path().join("out")).unwrap();
        for name in ["canary", "inner/canary"] {
            fs::write(outside.join(name), CANARY).unwrap();
        }
        let witness =
            inotify::init(inotify::CreateFlags::NONBLOCK | inotify::CreateFlags::CLOEXEC).unwrap();
        let seen =
            inotify::WatchFlags::OPEN | inotify::WatchFlags::ACCESS | inotify::WatchFlags::MODIFY;
        for path in ["", "canary", "inner", "inner/canary"] {
            inotify::add_watch(&witness, outside.join(path), seen).unwrap();
        }
        Self { around, witness }
    }

    fn out(&self) -> PathBuf {
        self.around.path().join("out")
    }

    fn outside(&self) -> PathBuf {
        self.around.path().join("outside")
    }

    /// Forgets what was seen so far.
    fn forget(&self) {
        while self.was_touched() {}
    }

    /// Whether anything outside was opened, read or changed.
    fn was_touched(&self) -> bool {
        let mut events = [0; 4096];
        matches!(rustix::io::read(&self.witness, &mut events), Ok(count) if count != 0)
    }
}

type Taken = BTreeMap<String, Vec<u8>>;

/// Collects, or panics when that takes too long.
fn collected(out: &Path) -> Result<(Vec<OutputFile>, Taken), CollectError> {
    let (sender, ended) = mpsc::channel();
    let root = rustix::fs::open(out, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let collecting = thread::spawn(move || {
        let mut taken = Taken::new();
        let files = OutFolder::new(root).collect(&LIMITS, |path, size, reader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes)?;
            assert_eq!(bytes.len() as u64, size);
            let digest = Digest::of(&bytes);
            taken.insert(path.to_string(), bytes);
            Ok(digest)
        });
        // An error means that nobody waits any more, which then fails by itself.
        let _ = sender.send(files.map(|files| (files, taken)));
    });
    let got = ended.recv_timeout(HUNG).expect("a collection that ends");
    collecting.join().unwrap();
    got
}

/// One thing that a guest may leave.
#[derive(Clone, Debug)]
enum Left {
    File(Vec<u8>),
    Sparse(u32),
    Folder,
    Deep(u8),
    LinkOut(&'static str),
    LinkIn(Index),
    LinkMagic(&'static str),
    HardLink,
    SecondName(Index),
    Fifo,
    Socket,
    Device,
    Closed(u32),
    Unlinked,
}

fn left() -> impl Strategy<Value = Left> {
    let outside = ["../outside", "../outside/canary", "/", "..", "../../.."];
    let magic = [
        "/proc/self/root",
        "/proc/self/cwd",
        "/proc/self/fd/3",
        "/dev/stdin",
    ];
    prop_oneof![
        20 => vec(any::<u8>(), 0..200).prop_map(Left::File),
        1 => (0u32..1 << 21).prop_map(Left::Sparse),
        6 => Just(Left::Folder),
        1 => (1u8..40).prop_map(Left::Deep),
        1 => prop::sample::select(outside.to_vec()).prop_map(Left::LinkOut),
        1 => any::<Index>().prop_map(Left::LinkIn),
        1 => prop::sample::select(magic.to_vec()).prop_map(Left::LinkMagic),
        1 => Just(Left::HardLink),
        1 => any::<Index>().prop_map(Left::SecondName),
        1 => Just(Left::Fifo),
        1 => Just(Left::Socket),
        1 => Just(Left::Device),
        2 => (0u32..0o1000).prop_map(Left::Closed),
        1 => Just(Left::Unlinked),
    ]
}

/// Names as guests like them. None has a `/` or a zero byte, or is `.` or `..`.
fn name() -> impl Strategy<Value = OsString> {
    let odd: Vec<&[u8]> = vec![
        b"\n",
        b"-rf",
        b"--",
        b"\x1b[2J",
        b"\xff\xfe",
        b"...",
        b" ",
        b"a\\b",
        b"*",
        b"$(x)",
        b"con",
        b"~",
        b"\xe2\x80\xae",
        b"\xc2\x85",
        b".hidden",
        b"\x7f",
    ];
    let odd = prop::sample::select(odd).prop_map(|raw| OsString::from_vec(raw.to_vec()));
    let long = (200usize..=255).prop_map(|length| OsString::from("n".repeat(length)));
    prop_oneof![
        30 => "[a-d]{1,2}".prop_map(OsString::from),
        1 => "[A-D]".prop_map(OsString::from),
        1 => odd,
        1 => long,
        1 => vec(any::<u8>().prop_filter("no part of a path", |byte| ![0, b'/', b'.'].contains(byte)), 1..6).prop_map(OsString::from_vec),
    ]
}

fn tree(most: usize) -> impl Strategy<Value = Vec<(PathBuf, Left)>> {
    let path = vec(name(), 1..4).prop_map(|parts| parts.iter().collect::<PathBuf>());
    vec((path, left()), 0..most)
}

/// Makes what can be made; a file where a folder should be is left out.
fn make(place: &Place, tree: &[(PathBuf, Left)]) {
    for (path, left) in tree {
        let _ = make_one(place, &place.out().join(path), left, tree);
    }
}

fn make_one(place: &Place, whole: &Path, left: &Left, tree: &[(PathBuf, Left)]) -> io::Result<()> {
    make_folders(&place.out(), whole.parent().unwrap())?;
    let node = |kind, device| Ok(rustix::fs::mknodat(CWD, whole, kind, Mode::RWXU, device)?);
    let other = |index: &Index| place.out().join(&index.get(tree).0);
    match left {
        Left::File(bytes) => {
            fs::File::create_new(whole)?;
            fs::write(whole, bytes)
        }
        Left::Sparse(size) => fs::File::create_new(whole)?.set_len(u64::from(*size)),
        Left::Folder => fs::create_dir(whole),
        Left::Deep(depth) => {
            make_folders(&place.out(), &whole.join("d/".repeat(usize::from(*depth))))
        }
        Left::LinkOut(to) => symlink(to, whole),
        Left::LinkMagic(to) => symlink(to, whole),
        Left::LinkIn(to) => symlink(other(to), whole),
        Left::HardLink => fs::hard_link(place.outside().join("canary"), whole),
        Left::SecondName(of) => fs::hard_link(other(of), whole),
        Left::Fifo => node(FileType::Fifo, 0),
        Left::Socket => UnixListener::bind(whole).map(drop),
        // Only root can make one; the null device is harmless if it is opened.
        Left::Device => node(FileType::CharacterDevice, rustix::fs::makedev(1, 3)),
        Left::Closed(mode) => {
            fs::File::create_new(whole)?;
            fs::set_permissions(whole, fs::Permissions::from_mode(*mode))
        }
        Left::Unlinked => {
            fs::File::create_new(whole)?;
            fs::remove_file(whole)
        }
    }
}

/// Makes the folders from `out` down to `folder`. Goes through no link that was
/// left before: what it leads to is not this test's to write.
fn make_folders(out: &Path, folder: &Path) -> io::Result<()> {
    let mut at = out.to_owned();
    for part in folder.strip_prefix(out).unwrap() {
        at.push(part);
        match fs::create_dir(&at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ if fs::symlink_metadata(&at)?.is_dir() => {}
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        }
    }
    Ok(())
}

/// Every file below `dir` with its content, or `None` if anything else is there.
fn lawful_files(dir: &Path, prefix: &Path, into: &mut Taken) -> Option<()> {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let path = prefix.join(entry.file_name());
        let meta = fs::symlink_metadata(entry.path()).unwrap();
        TreePath::from_bytes(path.as_os_str().as_bytes()).ok()?;
        if meta.is_dir() {
            lawful_files(&entry.path(), &path, into)?;
        } else if meta.is_file() && meta.nlink() == 1 {
            into.insert(path.to_str()?.to_owned(), fs::read(entry.path()).unwrap());
        } else {
            return None;
        }
    }
    Some(())
}

/// What must come out of `out`, or `None` if nothing may.
fn expected(out: &Path) -> Option<Taken> {
    let mut files = Taken::new();
    lawful_files(out, Path::new(""), &mut files)?;
    let mut folded: Vec<String> = Vec::new();
    for path in files.keys() {
        let parents = Path::new(path)
            .ancestors()
            .filter(|part| *part != Path::new(""));
        folded.extend(parents.map(|part| part.to_str().unwrap().to_owned()));
    }
    folded.sort_unstable();
    folded.dedup();
    let spellings = folded.len();
    let mut folded: Vec<String> = folded.iter().map(|path| path.to_lowercase()).collect();
    folded.sort_unstable();
    folded.dedup();
    let bytes: usize = files.values().map(Vec::len).sum();
    let lawful = folded.len() == spellings
        && bytes as u64 <= LIMITS.out_bytes
        && entries(out) <= LIMITS.out_files as usize;
    lawful.then_some(files)
}

fn entries(dir: &Path) -> usize {
    let below = |entry: io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        let folder = fs::symlink_metadata(&path).unwrap().is_dir();
        1 + if folder { entries(&path) } else { 0 }
    };
    fs::read_dir(dir).unwrap().map(below).sum()
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn just_the_lawful_folders_come_out_and_with_all_their_files(tree in tree(14)) {
        let place = Place::new();
        make(&place, &tree);
        let expected = expected(&place.out());
        place.forget();
        let got = collected(&place.out());
        prop_assert!(!place.was_touched(), "something outside was opened");
        match (got, expected) {
            (Ok((files, taken)), Some(expected)) => {
                prop_assert_eq!(&taken, &expected);
                let digests: Vec<_> = files.iter().map(|file| (file.path.to_string(), file.digest)).collect();
                let right: Vec<_> = expected.iter().map(|(path, bytes)| (path.clone(), Digest::of(bytes))).collect();
                prop_assert_eq!(digests, right);
            }
            (Err(CollectError::Refused { path, why }), None) => {
                prop_assert!(!path.is_empty() && !why.is_empty());
                prop_assert!(!path.contains(|c: char| c.is_control()), "{path:?}");
            }
            (Err(CollectError::TooLarge { .. } | CollectError::TooMany { .. }), None) => {}
            (got, expected) => prop_assert!(false, "{got:?}, but expected {expected:?}"),
        }
    }
}

proptest! {
    #![proptest_config(config(30))]

    /// No process of a guest lives any more when its outputs are taken, so no one
    /// can do this. If one could, it should gain nothing.
    #[test]
    fn whoever_changes_the_folder_meanwhile_gains_nothing(
        tree in tree(10),
        steps in vec((any::<Index>(), any::<Index>(), 0u8..7), 1..20),
    ) {
        let place = Place::new();
        make(&place, &tree);
        place.forget();
        let stop = AtomicBool::new(false);
        let results = thread::scope(|scope| {
            scope.spawn(|| while !stop.load(Ordering::Relaxed) {
                disturb(&place, &tree, &steps);
            });
            let results: Vec<_> = (0..8).map(|_| collected(&place.out())).collect();
            stop.store(true, Ordering::Relaxed);
            results
        });
        prop_assert!(!place.was_touched(), "something outside was opened");
        for (files, taken) in results.into_iter().flatten() {
            prop_assert_eq!(files.len(), taken.len());
            prop_assert!(taken.values().all(|bytes| !bytes.windows(CANARY.len()).any(|part| part == CANARY)));
            prop_assert!(files.iter().map(|file| file.size_bytes).sum::<u64>() <= LIMITS.out_bytes);
        }
    }
}

/// Swaps, links and moves what is in the folder. Most steps fail, which is fine.
fn disturb(place: &Place, tree: &[(PathBuf, Left)], steps: &[(Index, Index, u8)]) {
    let Some(most) = tree.len().checked_sub(1) else {
        return;
    };
    let at = |index: &Index| place.out().join(&tree[index.index(most + 1)].0);
    let aside = place.around.path().join("aside");
    for (one, other, what) in steps {
        let (one, other) = (at(one), at(other));
        // Whoever holds the folder could change what a link leads to only where he
        // may write, which is nowhere outside.
        if leads_out(&place.out(), &one) || leads_out(&place.out(), &other) {
            continue;
        }
        let _ = match what {
            0 => fs::rename(&one, &other),
            1 => {
                rustix::fs::renameat_with(CWD, &one, CWD, &other, rustix::fs::RenameFlags::EXCHANGE)
                    .map_err(Into::into)
            }
            2 => fs::rename(&one, &aside).and_then(|()| symlink("../outside/canary", &one)),
            3 => fs::rename(&one, &aside).and_then(|()| symlink(place.outside(), &one)),
            4 => fs::remove_file(&one).and_then(|()| fs::rename(&aside, &one)),
            5 => fs::remove_file(&one).and_then(|()| fs::create_dir(&one)),
            _ => grow_or_cut(&one),
        };
        let _ = fs::remove_dir_all(&aside);
        let _ = fs::remove_file(&aside);
    }
}

/// Whether a folder on the way to `path` is a link.
fn leads_out(out: &Path, path: &Path) -> bool {
    let mut above = path.ancestors().skip(1).take_while(|above| *above != out);
    above.any(|above| fs::symlink_metadata(above).is_ok_and(|meta| meta.is_symlink()))
}

/// Gives a file another size. Goes through no link and no second name, since the
/// witness cannot tell who touched what is outside.
fn grow_or_cut(path: &Path) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_file() || meta.nlink() != 1 {
        return Ok(());
    }
    fs::File::options().write(true).open(path)?.set_len(77)
}

#[test]
fn a_file_that_became_another_since_it_was_found_is_not_even_opened() {
    let place = Place::new();
    let file = place.out().join("a");
    fs::write(&file, "of the guest").unwrap();
    let root = rustix::fs::open(place.out(), OFlags::RDONLY, Mode::empty()).unwrap();
    let found = search::find(&root, &LIMITS, 0).unwrap();
    let canary = place.outside().join("canary");
    for swap in [
        |from: &Path, to: &Path| fs::hard_link(from, to),
        |from: &Path, to: &Path| symlink(from, to),
    ] {
        fs::remove_file(&file).unwrap();
        swap(&canary, &file).unwrap();
        place.forget();
        let opened = search::open(root.as_fd(), &found[0].0);
        assert!(
            matches!(opened, Err(CollectError::Refused { .. })),
            "{opened:?}"
        );
        assert!(!place.was_touched());
    }
}

#[test]
fn the_witness_sees_what_the_collector_must_not_do() {
    let place = Place::new();
    place.forget();
    assert!(!place.was_touched());
    fs::read(place.outside().join("canary")).unwrap();
    assert!(place.was_touched());
    place.forget();
    assert_eq!(fs::read_dir(place.outside()).unwrap().count(), 2);
    assert!(place.was_touched());
}

//! A large `/out`: on a disk of its own, bounded, and gone afterwards.
//!
//! An ordinary user may mount no such disk; there the tests say what he gets.

use std::{fs, path::Path};

use strongroom_core::{
    digest::Digest,
    limits::MIB,
    run::{OutputFile, Reason},
};
use strongroom_run::{CollectError, DiskError, PrepareError};
use tokio::sync::{mpsc, oneshot};

use crate::{
    house::{House, Outcome, Task, until},
    wardens::kill_warden,
};

/// Writes whole mebibytes to `/out/x`, as far as it gets.
const FILL: &str = "
import os, sys
fd = os.open('/out/x', os.O_CREAT | os.O_WRONLY)
for _ in range(COUNT):
    block = memoryview(bytes(1 << 20))
    while block:
        block = block[os.write(fd, block):]
";

fn fill(count: u64) -> Task {
    large(&FILL.replace("COUNT", &count.to_string()))
}

/// A task whose `/out` is three times as large as its memory.
fn large(code: &str) -> Task {
    Task::python(code).limits(|limits| {
        limits.memory_bytes = 64 * MIB;
        limits.out_bytes = 192 * MIB;
        limits.out_files = 20;
    })
}

/// The house of a test, unless its user may have no disks.
fn house() -> Option<House> {
    let house = House::new();
    (!house.local.kernel().ordinary_user).then_some(house)
}

/// The loop devices that hold a file of this folder, whether or not it has a name.
fn devices_of(folder: &Path) -> Vec<String> {
    let devices = fs::read_dir("/sys/block").unwrap();
    let held = |name: &String| {
        let file = format!("/sys/block/{name}/loop/backing_file");
        fs::read_to_string(file).is_ok_and(|path| path.starts_with(folder.to_str().unwrap()))
    };
    let names = devices.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(held).collect()
}

async fn until_nothing_is_left(house: &House) {
    until("no device holds a disk", || {
        devices_of(house.disk()).is_empty()
    })
    .await;
    assert_eq!(fs::read_dir(house.disk()).unwrap().count(), 0);
}

/// Takes the files as a station does: a chunk at a time.
fn taken(outcome: Outcome, task: &Task) -> Result<Vec<OutputFile>, CollectError> {
    let out = outcome.ended.out.unwrap();
    out.collect(&task.limits, |_, size_bytes, reader| {
        let count = std::io::copy(reader, &mut std::io::sink())?;
        assert_eq!(count, size_bytes);
        Ok(Digest::of(b""))
    })
}

#[tokio::test]
async fn a_large_out_takes_more_than_the_memory_of_its_run() {
    let Some(house) = house() else { return };
    let task = fill(190);
    let outcome = house.run(task.clone()).await.succeeded();
    assert!(outcome.ended.usage.memory_peak_bytes <= task.limits.memory_bytes);
    let files = taken(outcome, &task).unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].size_bytes, 190 * MIB);
    until_nothing_is_left(&house).await;
}

#[tokio::test]
async fn a_large_out_ends_at_its_bytes() {
    let Some(house) = house() else { return };
    let outcome = house.run(fill(1000)).await;
    let limit_bytes = 192 * MIB;
    assert_eq!(*outcome.reason(), Reason::OutputTooLarge { limit_bytes });
    drop(outcome);
    let task = fill(193);
    let outcome = house.run(task.clone()).await;
    if outcome.ended.reason.is_success() {
        let error = taken(outcome, &task).unwrap_err();
        assert!(matches!(error, CollectError::TooLarge { .. }), "{error}");
    }
    until_nothing_is_left(&house).await;
}

#[tokio::test]
async fn a_large_out_ends_at_its_files() {
    let Some(house) = house() else { return };
    let code = "
made = 0
try:
    for n in range(100000):
        open(f'/out/{n}', 'w').close()
        made = n + 1
except OSError as error:
    print(made, error.errno)
    raise
";
    let outcome = house.run(large(code)).await;
    let said = outcome.stdout();
    let (made, errno) = said.split_once(' ').unwrap();
    // The file system's own table is made of whole blocks.
    assert!(
        made.parse::<u32>().unwrap() < 1000 && errno == "28",
        "{said}"
    );
    assert!(matches!(outcome.reason(), Reason::OutputTooLarge { .. }));
    drop(outcome);
    until_nothing_is_left(&house).await;
}

#[tokio::test]
async fn what_a_large_out_holds_is_counted_like_that_of_a_small_one() {
    let Some(house) = house() else { return };
    let refused = async |code: &str| {
        let task = large(code);
        let outcome = house.run(task.clone()).await.succeeded();
        taken(outcome, &task).unwrap_err()
    };
    let holes = "import os\nos.truncate(os.open('/out/x', os.O_CREAT | os.O_RDWR), 193 << 20)";
    let error = refused(holes).await;
    assert!(matches!(error, CollectError::TooLarge { .. }), "{error}");
    let many = "for n in range(21): open(f'/out/{n}', 'w').close()";
    let error = refused(many).await;
    assert!(
        matches!(error, CollectError::TooMany { limit: 20 }),
        "{error}"
    );
    let names = "open('/out/a', 'w').close()\nimport os\nos.link('/out/a', '/out/b')";
    let error = refused(names).await;
    assert!(matches!(error, CollectError::Refused { .. }), "{error}");
    let long = "open('/out/' + 'x' * 255, 'w').close()";
    assert_eq!(
        house
            .run(large(long))
            .await
            .succeeded()
            .ended
            .usage
            .out_bytes,
        0
    );
}

#[tokio::test]
async fn nothing_in_a_large_out_is_a_program_a_link_or_a_device() {
    let Some(house) = house() else { return };
    let code = "
import os, shutil, subprocess
print(os.listdir('/out'), oct(os.stat('/out').st_mode))
def tried(what):
    try:
        what()
        print('done')
    except OSError as error:
        print(error.errno)
shutil.copy('/usr/bin/true', '/out/true')
os.chmod('/out/true', 0o4755)
tried(lambda: subprocess.run(['/out/true'], check=True))
tried(lambda: os.symlink('/etc/passwd', '/out/link'))
tried(lambda: os.mknod('/out/node', 0o020600, os.makedev(7, 0)))
tried(lambda: open('/dev/loop0'))
tried(lambda: os.setxattr('/out/true', 'user.x', b'x' * 100))
os.remove('/out/true')
";
    let outcome = house.run(large(code)).await.succeeded();
    let said = outcome.stdout();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "[] 0o40700");
    assert_eq!(lines.len(), 6, "{said}");
    assert!(!lines.contains(&"done"), "{said}");
}

#[tokio::test]
async fn nothing_is_left_of_a_large_out_when_the_warden_dies() {
    let Some(house) = house() else { return };
    let task = large("print('began', flush=True)\nimport time\ntime.sleep(1000)");
    let prepared = house.prepare(&task).await.unwrap();
    assert!(prepared.enforced().walls.contains(&"disk".to_owned()));
    let (sender, mut lines) = mpsc::channel(10);
    let (_keep, cancelled) = oneshot::channel();
    let run = tokio::spawn(prepared.run(sender, cancelled));
    assert_eq!(lines.recv().await.unwrap().text, "began");
    assert_eq!(devices_of(house.disk()).len(), 1);
    kill_warden();
    run.await.unwrap();
    until_nothing_is_left(&house).await;
}

#[tokio::test]
async fn a_disk_that_lies_in_memory_itself_is_refused() {
    let Some(_) = house() else { return };
    let house = House::with_disk(tempfile::tempdir_in("/dev/shm").unwrap());
    let error = house.prepare(&large("pass")).await.err().unwrap();
    let needed = matches!(error, PrepareError::Disk(DiskError::NeedsDisk { .. }));
    assert!(needed, "{error:?}");
    let Reason::Refused { why } = error.reason() else {
        panic!("{error:?}");
    };
    assert!(why.contains("lies in memory itself"), "{why}");
    let fits = large("pass").limits(|limits| limits.memory_bytes = 256 * MIB);
    house.run(fits).await.succeeded();
    assert!(house.local.why_out_in_memory().is_some());
}

#[tokio::test]
async fn an_out_that_has_no_disk_and_no_memory_is_refused_before_anything_runs() {
    let house = House::new();
    if !house.local.kernel().ordinary_user {
        assert_eq!(house.local.why_out_in_memory(), None);
        return;
    }
    let error = house.prepare(&large("pass")).await.err().unwrap();
    assert!(matches!(error.reason(), Reason::Refused { .. }), "{error}");
    let fits = large("pass").limits(|limits| limits.memory_bytes = 256 * MIB);
    house.run(fits).await.succeeded();
}

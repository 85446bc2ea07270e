//! A full disk: a named error, nothing corrupt, and the next call works.

use std::{fs, path::Path};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use strongroom_core::{digest::Digest, run::State};
use strongroom_store::{BlobError, Database, Lack, Store, StoreError};
use tempfile::TempDir;

use crate::fixture::{World, function, name, now};

/// A file system of 16 MiB, until it is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` for whoever may not mount; CI is root.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        match mount("tmpfs", folder.path(), "tmpfs", flags, Some(c"size=16m")) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "CI has to mount a small disk: {error}"
                );
                eprintln!("a small disk cannot be mounted, so a full one was not tried: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn a_full_disk_is_a_named_error_and_nothing_is_corrupt() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let home = disk.path().join("home");
    let store = Store::open(&home, Database::Sqlite).await.unwrap();
    for user in ["lab", "devs", "guest"] {
        store
            .user_add(&name("admin"), &name(user), false, now())
            .await
            .unwrap();
    }
    let too_big = store
        .blobs()
        .put(tokio::io::repeat(1), None, u64::MAX)
        .await;
    assert!(
        matches!(
            too_big,
            Err(BlobError::Lacking {
                lack: Lack::Disk,
                ..
            })
        ),
        "{too_big:?}"
    );
    let small = store.blobs().put_bytes(b"small").await.unwrap();

    // What is left is filled by somebody else, to the last page.
    let ballast = disk.path().join("ballast");
    let filled = fs::write(&ballast, vec![0; 32 << 20]);
    assert_eq!(filled.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let mut claimed = 0u32;
    let error = loop {
        let digest = Digest::of(&claimed.to_be_bytes());
        match store.blob_claim(&name("lab"), &digest, 1).await {
            Ok(()) => claimed += 1,
            Err(error) => break error,
        }
        assert!(claimed < 100_000, "the disk never gets full");
    };
    assert!(
        matches!(
            error,
            StoreError::Lacking {
                lack: Lack::Disk,
                ..
            }
        ),
        "{error:?}"
    );
    let user = store
        .user_add(&name("admin"), &name("late"), false, now())
        .await;
    assert!(
        matches!(
            user,
            Err(StoreError::Lacking {
                lack: Lack::Disk,
                ..
            })
        ),
        "{user:?}"
    );
    let file = store.blobs().put_bytes(&[5; 100_000]).await;
    assert!(
        matches!(
            file,
            Err(BlobError::Lacking {
                lack: Lack::Disk,
                ..
            })
        ),
        "{file:?}"
    );
    // Reading goes on.
    assert_eq!(
        store.blobs().read(&small.digest, 10).await.unwrap(),
        b"small"
    );
    assert_eq!(store.audit_verify().await.unwrap(), 3);

    // With room again, the same store goes on where it was.
    fs::remove_file(&ballast).unwrap();
    store
        .user_add(&name("admin"), &name("late"), false, now())
        .await
        .unwrap();
    assert_eq!(store.audit_verify().await.unwrap(), 4);
    let digests: Vec<Digest> = (0..claimed + 1)
        .map(|n| Digest::of(&n.to_be_bytes()))
        .collect();
    let missing = store.blobs_missing(&name("lab"), &digests).await.unwrap();
    assert_eq!(
        missing,
        digests[claimed as usize..],
        "all that was acknowledged and no more"
    );
    store.close().await;
    drop(store);
    reopens_whole(disk, home).await;
}

async fn reopens_whole(disk: SmallDisk, home: std::path::PathBuf) {
    let url = format!("sqlite://{}", home.join("strongroom.db").display());
    let world = World {
        store: Store::open(&home, Database::Sqlite).await.unwrap(),
        home: tempfile::tempdir().unwrap(),
        database: Database::Sqlite,
        url: url.clone(),
    };
    assert_eq!(world.store.audit_verify().await.unwrap(), 4);
    let mean = function(&world, "devs/mean", "print(1)").await;
    assert_eq!(world.ask(&mean, &[], 1).await.state, State::Queued);
    let connection = rusqlite::Connection::open(home.join("strongroom.db")).unwrap();
    let check: String = connection
        .query_row("PRAGMA integrity_check", (), |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
    drop(connection);
    world.store.close().await;
    drop(disk);
}

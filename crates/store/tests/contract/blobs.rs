//! Files by their digest, and the folders that runs see.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::join_all;
use strongroom_core::{
    digest::Digest,
    tree::{Tree, TreeFile},
};
use strongroom_store::{BlobError, Database, Store, StoreError};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

use crate::fixture::{World, one_store, tree};

/// Gives some bytes, then fails or never comes back.
struct Broken {
    bytes: usize,
    fails: bool,
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes == 0 {
            return match self.fails {
                true => Poll::Ready(Err(io::Error::other("the client went away"))),
                false => Poll::Pending,
            };
        }
        let length = self.bytes.min(to.remaining());
        to.put_slice(&vec![7; length]);
        self.bytes -= length;
        Poll::Ready(Ok(()))
    }
}

fn path_of(world: &World, digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    world
        .home
        .path()
        .join("blobs")
        .join(&hex[..2])
        .join(&hex[2..])
}

/// Every file below the folder of files.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(all_files(&path)),
            false => found.push(path),
        }
    }
    found
}

fn nothing_is_left(world: &World) {
    assert_eq!(
        all_files(&world.home.path().join("blobs")),
        Vec::<PathBuf>::new()
    );
}

#[tokio::test]
async fn a_file_is_kept_by_its_digest_once_and_read_only() {
    one_store(async |world| {
        let blobs = world.store.blobs();
        let bytes = vec![42; 1_000_000];
        let put = blobs.put(&bytes[..], None, 1_000_000).await.unwrap();
        assert_eq!(
            (put.digest, put.size_bytes),
            (Digest::of(&bytes), 1_000_000)
        );
        assert_eq!(blobs.put_bytes(&bytes).await.unwrap(), put);
        let blocking = blobs.clone();
        let reader = io::Cursor::new(bytes.clone());
        let again = tokio::task::spawn_blocking(move || blocking.put_reader(reader, u64::MAX));
        assert_eq!(again.await.unwrap().unwrap(), put);
        let path = path_of(&world, &put.digest);
        let kept = all_files(&world.home.path().join("blobs"));
        assert_eq!(kept, std::slice::from_ref(&path));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o7777,
            0o444
        );
        assert_eq!(blobs.read(&put.digest, 1_000_000).await.unwrap(), bytes);
        let mut read = Vec::new();
        blobs
            .open(&put.digest)
            .await
            .unwrap()
            .read_to_end(&mut read)
            .await
            .unwrap();
        assert_eq!(read, bytes);
    })
    .await;
}

#[tokio::test]
async fn a_file_at_its_bound_is_taken_and_one_past_it_leaves_nothing() {
    one_store(async |world| {
        let blobs = world.store.blobs();
        let past = blobs.put(&[1u8; 101][..], None, 100).await;
        assert!(
            matches!(
                past,
                Err(BlobError::TooLarge {
                    size_bytes_max: 100
                })
            ),
            "{past:?}"
        );
        let past = blobs.put_reader(&[1u8; 101][..], 100);
        assert!(
            matches!(
                past,
                Err(BlobError::TooLarge {
                    size_bytes_max: 100
                })
            ),
            "{past:?}"
        );
        nothing_is_left(&world);
        let at = blobs.put(&[1u8; 100][..], None, 100).await.unwrap();
        assert_eq!(blobs.read(&at.digest, 100).await.unwrap().len(), 100);
        let read = blobs.read(&at.digest, 99).await;
        assert!(matches!(read, Err(BlobError::TooLarge { .. })), "{read:?}");
    })
    .await;
}

#[tokio::test]
async fn another_content_than_was_announced_leaves_nothing() {
    one_store(async |world| {
        let expected = Digest::of(b"good");
        let put = world
            .store
            .blobs()
            .put(&b"evil"[..], Some(expected), 100)
            .await;
        assert!(matches!(put, Err(BlobError::Mismatch { .. })), "{put:?}");
        nothing_is_left(&world);
        world
            .store
            .blobs()
            .put(&b"good"[..], Some(expected), 100)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    one_store(async |world| {
        let blobs = world.store.blobs();
        let broken = |fails| Broken {
            bytes: 500_000,
            fails,
        };
        let put = blobs.put(broken(true), None, u64::MAX).await;
        assert!(matches!(put, Err(BlobError::Read { .. })), "{put:?}");
        nothing_is_left(&world);
        let hangs = std::time::Duration::from_millis(50);
        tokio::time::timeout(hangs, blobs.put(broken(false), None, u64::MAX))
            .await
            .unwrap_err();
        nothing_is_left(&world);
    })
    .await;
}

#[tokio::test]
async fn many_puts_of_one_file_at_once_are_one_file() {
    one_store(async |world| {
        let put = join_all((0..16).map(|_| {
            let blobs = world.store.blobs().clone();
            tokio::spawn(async move { blobs.put_bytes(&[9; 300_000]).await.unwrap() })
        }))
        .await;
        let digest = Digest::of(&[9; 300_000]);
        assert!(put.iter().all(|put| put.as_ref().unwrap().digest == digest));
        assert_eq!(all_files(&world.home.path().join("blobs")).len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_is_not_there_is_missing_and_an_altered_one_is_not_read() {
    one_store(async |world| {
        let blobs = world.store.blobs();
        let digest = Digest::of(b"absent");
        let opened = blobs.open(&digest).await;
        assert!(
            matches!(opened, Err(BlobError::Missing { .. })),
            "{opened:?}"
        );
        let put = blobs.put_bytes(b"good").await.unwrap();
        let path = path_of(&world, &put.digest);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"evil").unwrap();
        let read = blobs.read(&put.digest, 100).await;
        assert!(matches!(read, Err(BlobError::Mismatch { .. })), "{read:?}");
    })
    .await;
}

#[tokio::test]
async fn what_was_half_written_before_is_gone_when_the_store_opens() {
    one_store(async |world| {
        world.store.close().await;
        let World { store, home, .. } = world;
        drop(store);
        fs::write(home.path().join("blobs/tmp/half"), b"half").unwrap();
        fs::create_dir_all(home.path().join("views/tmp/half/root")).unwrap();
        let _store = Store::open(home.path(), Database::Sqlite).await.unwrap();
        assert!(!home.path().join("blobs/tmp/half").exists());
        assert!(!home.path().join("views/tmp/half").exists());
    })
    .await;
}

#[tokio::test]
async fn a_view_is_the_tree_and_takes_no_space() {
    one_store(async |world| {
        let files = [("a.csv", "1"), ("deep/er/b.csv", "22"), ("deep/c.csv", "1")];
        let tree = tree(&world, None, &files).await;
        let view = world.store.blobs().view(&tree).await.unwrap();
        assert_eq!(
            view,
            fs::canonicalize(world.home.path())
                .unwrap()
                .join("views")
                .join(tree.digest().hex())
        );
        for (path, file) in tree.files() {
            let found = fs::metadata(view.join(path.as_str())).unwrap();
            assert_eq!(found.permissions().mode() & 0o7777, 0o444);
            assert_eq!(
                found.ino(),
                fs::metadata(path_of(&world, &file.digest)).unwrap().ino()
            );
        }
        for folder in ["", "deep", "deep/er"] {
            let found = fs::metadata(view.join(folder)).unwrap();
            assert_eq!(found.permissions().mode() & 0o7777, 0o755, "{folder}");
        }
        assert_eq!(all_files(&view).len(), 3);
        let made = fs::metadata(&view).unwrap().ino();
        assert_eq!(world.store.blobs().view(&tree).await.unwrap(), view);
        assert_eq!(fs::metadata(&view).unwrap().ino(), made);
    })
    .await;
}

#[tokio::test]
async fn a_view_is_built_once_by_many_at_once_and_kept_over_a_restart() {
    one_store(async |world| {
        let tree = tree(&world, None, &[("a.csv", "1"), ("b.csv", "2")]).await;
        let views = join_all((0..8).map(|_| {
            let (blobs, tree) = (world.store.blobs().clone(), tree.clone());
            tokio::spawn(async move { blobs.view(&tree).await.unwrap() })
        }))
        .await;
        let view = views[0].as_ref().unwrap().clone();
        assert!(views.iter().all(|other| other.as_ref().unwrap() == &view));
        assert_eq!(
            fs::read_dir(world.home.path().join("views/tmp"))
                .unwrap()
                .count(),
            0
        );
        let made = fs::metadata(&view).unwrap().ino();
        let World { store, home, .. } = world;
        store.close().await;
        drop(store);
        let store = Store::open(home.path(), Database::Sqlite).await.unwrap();
        assert_eq!(
            fs::metadata(store.blobs().view(&tree).await.unwrap())
                .unwrap()
                .ino(),
            made
        );
        // A machine that was restarted has another number, and may have lost names.
        store.close().await;
        drop(store);
        fs::write(home.path().join("views/boot"), "another").unwrap();
        let store = Store::open(home.path(), Database::Sqlite).await.unwrap();
        assert!(!view.exists());
        assert_eq!(store.blobs().view(&tree).await.unwrap(), view);
    })
    .await;
}

#[tokio::test]
async fn a_view_with_a_missing_file_is_not_built_and_a_damaged_one_is_named() {
    one_store(async |world| {
        let good = tree(&world, None, &[("a.csv", "1"), ("b.csv", "22")]).await;
        let absent = TreeFile {
            digest: Digest::of(b"absent"),
            size_bytes: 6,
        };
        let bad = Tree::new([("a.csv".parse().unwrap(), absent)]).unwrap();
        let built = world.store.blobs().view(&bad).await;
        let missing = matches!(built, Err(StoreError::Blob(BlobError::Missing { .. })));
        assert!(missing, "{built:?}");
        assert!(
            !world
                .home
                .path()
                .join("views")
                .join(bad.digest().hex())
                .exists()
        );
        let view = world.store.blobs().view(&good).await.unwrap();
        fs::remove_file(view.join("b.csv")).unwrap();
        let damaged = world.store.blobs().view(&good).await;
        assert!(
            matches!(damaged, Err(StoreError::Corrupt { .. })),
            "{damaged:?}"
        );
    })
    .await;
}

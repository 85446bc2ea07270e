//! Archives from strangers: each trick is refused with the entry's name, and
//! leaves no version behind.

use std::io::Write as _;

use crate::support::{Reply, Sent, Station};
use serde_json::json;
use tar::{Builder, EntryType, Header};

fn entry(archive: &mut Builder<Vec<u8>>, kind: EntryType, name: &[u8], bytes: &[u8]) {
    let mut header = Header::new_ustar();
    // Set by hand, since the library refuses names that climb.
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    if matches!(kind, EntryType::Link | EntryType::Symlink) {
        header.as_old_mut().linkname[..4].copy_from_slice(b"/etc");
    }
    header.set_cksum();
    archive.append(&header, bytes).unwrap();
}

fn files(names: &[&[u8]]) -> Vec<u8> {
    let mut archive = Builder::new(Vec::new());
    for name in names {
        entry(&mut archive, EntryType::Regular, name, b"bytes");
    }
    archive.into_inner().unwrap()
}

async fn push(station: &Station, kind: &str, archive: Vec<u8>) -> Reply {
    let path = format!("/v1/{kind}/lab/x/versions?message=hi");
    station
        .send("lab", "POST", &path, Sent::of("application/x-tar", archive))
        .await
}

/// Expects both doors to refuse the archive and to name `what`.
async fn refused(archive: Vec<u8>, what: &str) {
    let station = Station::new().await;
    for kind in ["datasets", "functions"] {
        let reply = push(&station, kind, archive.clone()).await;
        assert_eq!(reply.refused(422), "bad_archive", "{reply:?}");
        let detail = reply.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(what), "`{detail}` does not name `{what}`");
        assert_eq!(
            station.get("lab", &format!("/v1/{kind}")).await.ok()["items"],
            json!([])
        );
    }
}

#[tokio::test]
async fn a_lawful_archive_is_a_version_with_its_files() {
    let station = Station::new().await;
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, b"./", b"");
    entry(&mut archive, EntryType::Directory, b"./a/", b"");
    entry(&mut archive, EntryType::Regular, b"./a/b.csv", b"1,2\n");
    entry(&mut archive, EntryType::Regular, b"main.py", b"print(1)");
    let archive = archive.into_inner().unwrap();
    let pushed = push(&station, "datasets", archive.clone()).await;
    assert_eq!(pushed.status, 201, "{pushed:?}");
    assert_eq!(pushed.json()["message"], "hi");
    let shown = station
        .get("lab", "/v1/datasets/lab/x/versions/latest")
        .await
        .ok();
    let names: Vec<&String> = shown["files"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["a/b.csv", "main.py"]);
    let path = "/v1/datasets/lab/x/versions/latest/files/a/b.csv";
    let file = station.get("lab", path).await;
    assert_eq!(&file.body[..], b"1,2\n");
    let etag = file.headers["etag"].to_str().unwrap();
    assert_eq!(
        etag,
        format!(
            "\"{}\"",
            shown["files"]["a/b.csv"]["digest"].as_str().unwrap()
        )
    );
    let part = station
        .send_with(
            "lab",
            "GET",
            path,
            &[("range", "bytes=2-")],
            Sent::nothing(),
        )
        .await;
    assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"2\n"[..]));
    assert_eq!(part.headers["content-range"], "bytes 2-3/4");
    let same = station
        .send_with(
            "lab",
            "GET",
            path,
            &[("if-none-match", etag)],
            Sent::nothing(),
        )
        .await;
    assert_eq!(same.status, 304);
    assert_eq!(
        push(&station, "functions", archive.clone()).await.status,
        201
    );
    assert_eq!(
        push(&station, "datasets", archive).await.status,
        200,
        "unchanged"
    );
}

#[tokio::test]
async fn an_archive_of_the_tar_program_is_taken_in_each_of_its_formats() {
    let folder = tempfile::tempdir().unwrap();
    let long = "d".repeat(120);
    std::fs::create_dir(folder.path().join(&long)).unwrap();
    std::fs::write(folder.path().join(&long).join("main.py"), "print(1)").unwrap();
    for format in ["gnu", "pax"] {
        let station = Station::new().await;
        let made = std::process::Command::new("tar")
            .args(["-c", "--format", format, "-C"])
            .arg(folder.path())
            .arg(".")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let reply = push(&station, "datasets", made.stdout).await;
        assert_eq!(reply.status, 201, "{format}: {reply:?}");
    }
}

#[tokio::test]
async fn names_that_climb_collide_or_deceive_are_refused() {
    refused(files(&[b"ok", b"../x"]), "`../x`").await;
    refused(files(&[b"/etc/passwd"]), "absolute").await;
    refused(files(&[b"a", b"a"]), "twice").await;
    refused(files(&[b"a", b"a/b"]), "both a file and a folder").await;
    refused(files(&[b"main.py", b"Main.py"]), "differ only in case").await;
    refused(files(&[]), "no files").await;
    refused(files(&[b"a\xff"]), "UTF-8").await;
    refused(files(&[b"a\\b"]), "backslash").await;
    refused(files(&[b"a//b"]), "empty part").await;
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, b"a/../..", b"");
    refused(archive.into_inner().unwrap(), "..").await;
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Directory, b"a/", b"");
    entry(&mut archive, EntryType::Regular, b"a", b"x");
    refused(archive.into_inner().unwrap(), "both a file and a folder").await;
}

#[tokio::test]
async fn whatever_is_no_regular_file_is_refused_by_name() {
    let kinds = [
        (EntryType::Symlink, "a symbolic link"),
        (EntryType::Link, "a hard link"),
        (EntryType::Char, "a device"),
        (EntryType::Block, "a device"),
        (EntryType::Fifo, "a FIFO"),
    ];
    for (kind, what) in kinds {
        let mut archive = Builder::new(Vec::new());
        entry(&mut archive, EntryType::Regular, b"main.py", b"x");
        entry(&mut archive, kind, b"trick", b"");
        refused(archive.into_inner().unwrap(), &format!("`trick` is {what}")).await;
    }
}

#[tokio::test]
async fn sparse_files_are_refused() {
    let mut archive = Builder::new(Vec::new());
    archive
        .append_pax_extensions([("GNU.sparse.major", &b"1"[..]), ("GNU.sparse.name", b"s")])
        .unwrap();
    entry(&mut archive, EntryType::Regular, b"s", b"x");
    refused(archive.into_inner().unwrap(), "a sparse file").await;
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_path("s").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(0);
    header.set_cksum();
    archive.append(&header, &b""[..]).unwrap();
    refused(archive.into_inner().unwrap(), "").await;
}

#[tokio::test]
async fn an_archive_that_is_cut_off_or_none_is_refused() {
    let whole = files(&[b"main.py", b"b.py"]);
    // Inside a header, inside a file, between two files, before the end.
    for length in [100, 512 + 3, 1024, 1024 + 512 + 2, 2048] {
        refused(whole[..length].to_vec(), "").await;
    }
    refused(b"not an archive at all".repeat(100), "not a tar archive").await;
    refused(Vec::new(), "cut off").await;
    let mut goes_on = whole;
    goes_on.write_all(&vec![b'x'; 2 << 20]).unwrap();
    refused(goes_on, "").await;
}

#[tokio::test]
async fn a_long_name_that_never_ends_costs_no_memory() {
    let mut archive = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..13].copy_from_slice(b"././@LongLink");
    header.set_entry_type(EntryType::GNULongName);
    header.set_size(8 << 20);
    header.set_cksum();
    archive.append(&header, &vec![b'a'; 8 << 20][..]).unwrap();
    entry(&mut archive, EntryType::Regular, b"x", b"x");
    refused(archive.into_inner().unwrap(), "headers are too long").await;
}

#[tokio::test]
async fn a_function_larger_than_the_bound_is_refused() {
    let station = Station::with(|config| config.body.function_bytes_max = 1000).await;
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Regular, b"main.py", &[b'#'; 1001]);
    let reply = push(&station, "functions", archive.into_inner().unwrap()).await;
    assert_eq!(reply.refused(413), "too_large");
    let mut archive = Builder::new(Vec::new());
    entry(&mut archive, EntryType::Regular, b"main.py", &[b'#'; 1000]);
    assert_eq!(
        push(&station, "functions", archive.into_inner().unwrap())
            .await
            .status,
        201
    );
}

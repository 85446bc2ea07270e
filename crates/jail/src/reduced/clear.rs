//! Removing what a guest has left, however deep it made it.
//!
//! Folders are never descended into: what lies in one is moved up to the top
//! until nothing is nested, so depth costs neither stack nor descriptors. No
//! link is followed. The guest must be dead.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags};

/// Removes the folder and everything in it.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let top = open(CWD, &CString::new(path.as_os_str().as_encoded_bytes())?)?;
    let mut moved = 0;
    loop {
        let entries = entries(&top)?;
        if entries.is_empty() {
            break;
        }
        for (name, is_folder) in entries {
            if is_folder {
                flatten(&top, &name, &mut moved)?;
            } else {
                rustix::fs::unlinkat(&top, &name, AtFlags::empty())?;
            }
        }
    }
    Ok(rustix::fs::rmdir(path)?)
}

/// Empties and removes one folder, lifting the folders in it to the top.
fn flatten(top: &OwnedFd, name: &CStr, moved: &mut u64) -> io::Result<()> {
    // Its maker may have closed it to everybody, the maker included.
    let _ = rustix::fs::chmodat(top, name, Mode::RWXU, AtFlags::empty());
    let folder = open(top, name)?;
    for (inner, is_folder) in entries(&folder)? {
        if is_folder {
            let _ = rustix::fs::chmodat(&folder, &inner, Mode::RWXU, AtFlags::empty());
            lift(&folder, &inner, top, moved)?;
        } else {
            rustix::fs::unlinkat(&folder, &inner, AtFlags::empty())?;
        }
    }
    Ok(rustix::fs::unlinkat(top, name, AtFlags::REMOVEDIR)?)
}

fn lift(from: &OwnedFd, name: &CStr, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let free = format!(".moved-{moved}");
        match rustix::fs::renameat_with(from, name, top, free, RenameFlags::NOREPLACE) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return Ok(other?),
        }
    }
}

fn open(at: impl AsFd, name: &CStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// Every name, and whether it is a folder.
fn entries(folder: &OwnedFd) -> io::Result<Vec<(CString, bool)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_owned();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        found.push((name, kind == FileType::Directory));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::remove;

    #[test]
    fn folders_nested_without_end_are_removed() {
        let top = tempfile::tempdir().unwrap();
        let victim = top.path().join("victim");
        std::fs::create_dir(&victim).unwrap();
        let mut at = rustix::fs::open(
            &victim,
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
        for _ in 0..500 {
            rustix::fs::mkdirat(&at, "deep", rustix::fs::Mode::RWXU).unwrap();
            let flags = rustix::fs::OFlags::DIRECTORY;
            at = rustix::fs::openat(&at, "deep", flags, rustix::fs::Mode::empty()).unwrap();
        }
        std::fs::write(victim.join(".moved-1"), "in the way").unwrap();
        std::os::unix::fs::symlink(top.path(), victim.join("link")).unwrap();
        std::fs::write(top.path().join("kept"), "").unwrap();
        remove(&victim).unwrap();
        assert!(!victim.exists() && top.path().join("kept").exists());
    }
}

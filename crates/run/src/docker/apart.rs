//! What is shown at `/etc`, piece by piece.
//!
//! An engine lays files of its own into a container's `/etc`, which fails where
//! that is a read-only folder of somebody else's. So its folders are shown one by
//! one, and its files go into the image that the root is made of. What the engine
//! lays there itself is left out.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use strongroom_jail::{Outline, Shown};

const ETC: &str = "/etc";
/// What every engine lays there.
const OF_THE_ENGINE: [&str; 4] = ["hosts", "hostname", "resolv.conf", "mtab"];
/// Who a guest is is said by others.
const OF_THE_GUEST: [&str; 2] = ["passwd", "group"];
/// The most entries of an `/etc`, and the most bytes of its files together.
const ENTRIES_MAX: usize = 512;
const BYTES_MAX: u64 = 8 << 20;

/// The same outline without a folder at `/etc`.
///
/// # Errors
///
/// When the folder cannot be read or holds too much.
pub(super) fn etc(mut outline: Outline) -> io::Result<Outline> {
    let (etc, others): (Vec<Shown>, Vec<Shown>) = outline
        .folders
        .into_iter()
        .partition(|shown| shown.guest == Path::new(ETC));
    outline.folders = others;
    let Some(etc) = etc.into_iter().next() else {
        return Ok(outline);
    };
    let (mut entries, mut bytes) = (0, 0);
    for entry in fs::read_dir(&etc.host)? {
        let entry = entry?;
        entries += 1;
        let name = entry.file_name();
        let is = |names: &[&str]| names.iter().any(|one| *one == name);
        let guest = etc.guest.join(&name);
        let kind = entry.file_type()?;
        if is(&OF_THE_ENGINE) || outline.files.iter().any(|(path, _)| *path == guest) {
            continue;
        }
        if kind.is_symlink() {
            outline.links.push((guest, fs::read_link(entry.path())?));
        } else if kind.is_dir() {
            outline.folders.push(Shown {
                host: entry.path(),
                guest,
                is_executable: false,
            });
        } else if kind.is_file() {
            bytes += entry.metadata()?.len();
            if BYTES_MAX < bytes {
                break;
            }
            outline.files.push((guest, fs::read(entry.path())?));
        }
    }
    if ENTRIES_MAX < entries || BYTES_MAX < bytes {
        return Err(io::Error::other("its /etc holds too much"));
    }
    for name in OF_THE_GUEST {
        let guest: PathBuf = etc.guest.join(name);
        if !outline.files.iter().any(|(path, _)| *path == guest) {
            outline.files.push((guest, Vec::new()));
        }
    }
    Ok(outline)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::docker::container::rehearsal;

    #[test]
    fn an_etc_is_shown_piece_by_piece_without_what_an_engine_lays_there() {
        let host = tempfile::tempdir().unwrap();
        let at = |name: &str| host.path().join(name);
        fs::write(at("issue"), "hello").unwrap();
        fs::write(at("hosts"), "127.0.0.1").unwrap();
        fs::create_dir(at("ssl")).unwrap();
        std::os::unix::fs::symlink("../usr/x", at("link")).unwrap();
        let mut outline = rehearsal();
        outline.folders.push(Shown {
            host: host.path().to_owned(),
            guest: ETC.into(),
            is_executable: true,
        });
        let outline = etc(outline).unwrap();
        let names: Vec<_> = outline
            .files
            .iter()
            .map(|(path, _)| path.to_str().unwrap())
            .collect();
        assert_eq!(names, ["/etc/issue", "/etc/passwd", "/etc/group"]);
        assert_eq!(outline.links, [("/etc/link".into(), "../usr/x".into())]);
        let folders: Vec<_> = outline.folders.iter().map(|shown| &shown.guest).collect();
        assert_eq!(folders, [Path::new("/etc/ssl")]);
    }
}

//! Paths in layers: relative to the image's root, every part plain.
//!
//! They are bytes, since names in images need not be text.

/// The longest path, its longest part in bytes, and the most parts.
const PATH_LEN_MAX: usize = 1024;
const PART_LEN_MAX: usize = 255;
const DEPTH_MAX: usize = 64;

/// Where an entry goes: the folder, and the name in it.
pub(super) struct Place<'a> {
    pub(super) folder: &'a [u8],
    pub(super) name: &'a [u8],
}

/// A path relative to the image's root, every part plain.
pub(super) fn plain(raw: &[u8]) -> Result<Vec<u8>, &'static str> {
    if raw.starts_with(b"/") {
        return Err("has an absolute path");
    }
    if PATH_LEN_MAX < raw.len() {
        return Err("has a path of more than 1024 bytes");
    }
    let parts = raw.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    match parts.len() {
        count if DEPTH_MAX < count => Err("lies more than 64 folders deep"),
        _ if parts.contains(&&b".."[..]) => Err("climbs out of the image"),
        _ if parts.iter().any(|part| PART_LEN_MAX < part.len()) => {
            Err("has a name of more than 255 bytes")
        }
        _ if raw.contains(&0) => Err("has a zero byte in its name"),
        _ => Ok(parts.join(&b'/')),
    }
}

pub(super) fn place(path: &[u8]) -> Place<'_> {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => Place {
            folder: &path[..at],
            name: &path[at + 1..],
        },
        None => Place {
            folder: b"",
            name: path,
        },
    }
}

pub(super) fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder.is_empty() {
        true => name.to_vec(),
        false => [folder, name].join(&b'/'),
    }
}

/// Whether a relative target leads above the image's root. An absolute one
/// cannot: for a guest it begins at that root.
pub(super) fn climbs(path: &[u8], target: &[u8]) -> bool {
    if target.starts_with(b"/") {
        return false;
    }
    let mut depth = path.iter().filter(|byte| **byte == b'/').count();
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

/// For people.
pub(super) fn lossy(raw: &[u8]) -> String {
    String::from_utf8_lossy(raw).into_owned()
}

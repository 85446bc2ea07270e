//! Laws of what a guest writes while it runs, tried on arbitrary bytes.
#![allow(clippy::unwrap_used)]

use strongroom_core::json;

use crate::{
    image::{Allowance, Tree},
    log::{LINE_LEN_MAX, Lines},
    result,
};

/// The first byte says how often the rest comes, and in how long pieces.
pub fn logs(bytes: &[u8]) {
    let Some((how, part)) = bytes.split_first() else {
        return;
    };
    let times = match how % 4 {
        3 => 2 * LINE_LEN_MAX / part.len().max(1),
        few => usize::from(few) + 1,
    };
    let whole = part.repeat(times.min(LINE_LEN_MAX));
    let at_once = lines(&[&whole]);
    let pieces: Vec<&[u8]> = whole.chunks(usize::from(*how) * 61 + 1).collect();
    assert_eq!(lines(&pieces), at_once);
    // A byte that is no UTF-8 becomes a character of three.
    let fits = |line: &String| line.len() <= 3 * LINE_LEN_MAX && !line.contains(['\n', '\0']);
    assert!(at_once.iter().all(fits));
    if let Ok(text) = std::str::from_utf8(&whole) {
        let kept: usize = at_once.iter().map(String::len).sum();
        assert_eq!(kept, text.len() - text.matches(['\n', '\0']).count());
    }
}

fn lines(pieces: &[&[u8]]) -> Vec<String> {
    let mut lines = Lines::default();
    let mut out: Vec<String> = pieces.iter().flat_map(|piece| lines.push(piece)).collect();
    out.extend(lines.rest());
    out
}

pub fn returned_values(bytes: &[u8]) {
    let parsed = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(result::parse(bytes.to_vec()));
    match parsed {
        Ok(None) => assert!(bytes.is_empty()),
        Ok(Some(value)) => {
            assert!(json::depth(&value) <= json::DEPTH_MAX);
            let canonical = json::canonical(&value);
            assert_eq!(json::parse(canonical.as_bytes()).unwrap(), value);
        }
        Err(error) => assert!(error.to_string().len() < 1000, "{error}"),
    }
}

/// A layer writes into its own folder or nowhere, within its allowance, and
/// leaves nothing that has rights.
pub fn layers(bytes: &[u8]) {
    let outside = tempfile::tempdir().unwrap();
    let inside = outside.path().join("a/tree");
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::write(outside.path().join("kept"), "kept").unwrap();
    let root = std::fs::File::open(&inside).unwrap();
    let mut allowance = Allowance {
        entries: 100,
        bytes: 64 * 1024,
    };
    let packed = bytes.len() as u64;
    let unpacked = Tree::new(root.into()).unpack(bytes, || packed, &mut allowance);
    if let Err(error) = unpacked {
        assert!(error.to_string().len() < 1000, "{error}");
    }
    let mut found = Vec::new();
    let mut open = vec![outside.path().to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let kind = meta.file_type();
            assert!(kind.is_file() || kind.is_dir() || kind.is_symlink());
            let mode = std::os::unix::fs::PermissionsExt::mode(&meta.permissions());
            assert!(kind.is_symlink() || mode & 0o7022 == 0, "{mode:o}");
            if kind.is_dir() {
                open.push(entry.path());
            }
            if !entry.path().starts_with(&inside) {
                found.push(entry.file_name());
            }
        }
    }
    found.sort();
    assert_eq!(found, ["a", "kept"]);
    assert_eq!(std::fs::read(outside.path().join("kept")).unwrap(), b"kept");
}

#[cfg(test)]
#[path = "../../../fuzz/try_law.rs"]
mod trying;

#[cfg(test)]
mod tests {
    use super::{trying::try_law, *};

    #[test]
    fn lines_are_the_same_however_they_arrive() {
        let known: &[&[u8]] = &[
            b"\n",
            b"\r\n",
            b"\0",
            b"\xc3\xa9",
            b"\xf0\x9f\x98\x80",
            b"\xff",
            b"\x80\x80\x80\x80",
            b"\x1b[2J",
        ];
        try_law("logs", known, &[], logs);
    }

    #[test]
    fn a_layer_writes_into_its_own_folder_or_nowhere() {
        let known: &[&[u8]] = &[
            b"../",
            b"/",
            b"a/../",
            b".wh.",
            b".wh..wh..opq",
            b"ustar\0",
            b"ustar  \0",
            b"\0\0\0\0",
            b"0",
            b"1",
            b"2",
            b"5",
            b"L",
            b"x",
            b"30 path=../kept\n",
            b"../../kept",
            b"7777777",
        ];
        try_law("layers", known, &[], layers);
    }

    #[test]
    fn a_value_is_strict_json_or_refused_in_one_line() {
        let known: &[&[u8]] = &[
            b"{", b"}", b"[", b"]", b",", b"\"a\":", b"1e309", b"NaN", b"\\ud800", b"\x1b[2J",
            b"\n",
        ];
        try_law("returned_values", known, &[], returned_values);
    }
}

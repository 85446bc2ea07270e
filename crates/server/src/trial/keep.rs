//! What a trial run wrote, on its way into a local folder.

use std::{
    fs,
    io::{self, Read, Write},
    path::Path,
};

use sha2::{Digest as _, Sha256};
use strongroom_core::{digest::Digest, tree::TreePath};

/// Writes one file below `folder`, if there is one, and hashes it.
///
/// The file appears whole or not at all, and takes the place of one of the
/// same name without following a link that may lie there.
pub(super) fn keep(
    folder: Option<&Path>,
    path: &TreePath,
    from: &mut dyn Read,
) -> io::Result<Digest> {
    let Some(folder) = folder else {
        return copy(from, &mut io::sink());
    };
    let to = folder.join(path.as_str());
    let parent = to.parent().unwrap_or(folder);
    fs::create_dir_all(parent)?;
    let mut file = tempfile::Builder::new()
        .prefix(".strongroom-")
        .tempfile_in(parent)?;
    let digest = copy(from, file.as_file_mut())?;
    file.as_file()
        .set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    file.persist(&to)?;
    Ok(digest)
}

pub(super) fn copy(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            count => {
                hash.update(&buffer[..count]);
                to.write_all(&buffer[..count])?;
            }
        }
    }
}

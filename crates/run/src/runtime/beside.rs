//! A runtime's program that is shipped beside our own.
//!
//! A guest is shown a folder, and must not be shown the one where a station's
//! programs lie; so the program has a folder `star` to itself. Where it lies
//! beside ours and not in such a folder, as after `cargo build`, it is linked
//! into one.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// The folder that holds nothing but the program.
const FOLDER: &str = "star";
/// Where an installation has that folder, seen from above that of our own program.
const INSTALLED: &str = "lib/strongroom";

/// The folder on the host that holds `program` and nothing else.
///
/// # Errors
///
/// The path at which it was looked for first.
pub(super) fn folder(program: &str) -> Result<PathBuf, PathBuf> {
    let own = std::env::current_exe().ok();
    let own = own
        .as_deref()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"));
    // Where cargo puts tests, one folder below the programs.
    let own = match own.ends_with("deps") {
        true => own.parent().unwrap_or(own),
        false => own,
    };
    let loose = own.join(program);
    let alone = own.join(FOLDER);
    // Where it cannot be linked, what was installed may still be there.
    let _ = link(&loose, &alone, program);
    let installed = own.parent().unwrap_or(own).join(INSTALLED).join(FOLDER);
    [alone, installed]
        .into_iter()
        .find(|folder| folder.join(program).is_file())
        .ok_or(loose)
}

/// Links the program into a folder of its own, if it is not the one there.
fn link(loose: &Path, alone: &Path, program: &str) -> io::Result<()> {
    let wanted = loose.metadata()?.ino();
    let linked = alone.join(program);
    if linked.metadata().is_ok_and(|there| there.ino() == wanted) {
        return Ok(());
    }
    match fs::create_dir(alone) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Under a name of our own first, since others may do the same right now.
    let ours = loose.with_file_name(format!(".{program}-{}", std::process::id()));
    let _ = fs::remove_file(&ours);
    fs::hard_link(loose, &ours)?;
    fs::rename(&ours, &linked)
}

//! Functions that are programs: the one file of a function that may run.
//!
//! Nothing below `/function` runs, whatever it is. The entry alone is copied
//! into a folder of its own, which the guest sees as `/program`; the files
//! that a station keeps are never given the right to run, since they are the
//! same files in every view. The folder is the caller's to remove.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use strongroom_core::tree::TreePath;

/// Copies the entry of the function in `function_dir` into `folder`, which is
/// empty, as a program that anybody may run and nobody may write.
pub fn lay_program(function_dir: &Path, entry: &TreePath, folder: &Path) -> io::Result<()> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    let program = folder.join(entry.file_name());
    fs::copy(function_dir.join(entry.as_str()), &program)?;
    fs::set_permissions(&program, Permissions::from_mode(0o555))
}

//! Which control group hierarchies are mounted, and where we are in them.

use std::path::{Path, PathBuf};

use super::{GroupError, read};

/// One mounted hierarchy and this process's group in it.
pub(super) struct Hierarchy {
    pub(super) file_system: String,
    /// The controllers of version 1, as the mount options name them.
    pub(super) options: Vec<String>,
    pub(super) mount_point: PathBuf,
    pub(super) own: PathBuf,
}

/// Every mounted hierarchy, from `/proc/self/mountinfo` and `/proc/self/cgroup`.
pub(super) fn hierarchies() -> Result<Vec<Hierarchy>, GroupError> {
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let groups = read(Path::new("/proc/self/cgroup"))?;
    Ok(mounts
        .lines()
        .filter_map(|line| hierarchy(line, &groups))
        .collect())
}

fn hierarchy(line: &str, groups: &str) -> Option<Hierarchy> {
    let (before, after) = line.split_once(" - ")?;
    let before: Vec<&str> = before.split(' ').collect();
    let after: Vec<&str> = after.split(' ').collect();
    let (root, mount_point) = (before.get(3)?, before.get(4)?);
    let file_system = *after.first()?;
    let options: Vec<String> = after.get(2)?.split(',').map(str::to_owned).collect();
    let path = match file_system {
        "cgroup2" => groups.lines().find_map(|line| line.strip_prefix("0::"))?,
        "cgroup" => groups.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            let first = controllers.split(',').next()?;
            options.iter().any(|option| option == first).then_some(path)
        })?,
        _ => return None,
    };
    let below = if *root == "/" {
        path
    } else {
        path.strip_prefix(root)?
    };
    let own = Path::new(mount_point).join(below.trim_start_matches('/'));
    Some(Hierarchy {
        file_system: file_system.to_owned(),
        options,
        mount_point: mount_point.into(),
        own,
    })
}

#[cfg(test)]
mod tests;

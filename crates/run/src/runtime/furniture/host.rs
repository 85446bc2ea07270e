//! The folders of the host that a guest is shown where it has no image.

use std::path::Path;

use strongroom_jail::{Jail, Open};

use super::{Furniture, IDENTITY};

impl Furniture {
    /// The host's folders as the guest's root.
    pub(super) fn show_host(&self, root: &Path, jail: Jail<Open>) -> Jail<Open> {
        let folders = self.way.folders.iter();
        let jail = folders.fold(jail, |jail, name| host_folder(root, jail, name));
        IDENTITY.into_iter().fold(jail, |jail, (path, content)| {
            jail.file(path.into(), content.as_bytes().to_vec())
        })
    }
}

/// Shows a folder of the host's root, or the link that stands in its place.
fn host_folder(root: &Path, jail: Jail<Open>, name: &str) -> Jail<Open> {
    let host = root.join(name);
    let guest = Path::new("/").join(name);
    // Alternatives are links to programs, and none themselves.
    let holds_programs = !name.contains('/');
    match std::fs::read_link(&host) {
        Ok(target) => jail.symlink(guest, target),
        Err(_) if !host.is_dir() => jail,
        Err(_) if holds_programs => jail.runtime(host, guest),
        Err(_) => jail.read_only(host, guest),
    }
}

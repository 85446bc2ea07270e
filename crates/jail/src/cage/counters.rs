//! What the files of one network in `/proc` tell of all others, closed.
//!
//! Some count for the whole host: packets by processor, memory and number of
//! sockets. One lists the sockets of this network, which a zygote's copies have
//! in common. The rule: closed where the network is made, before anybody is in
//! it. Deliberately absent: an ordinary user, to whom these files do not belong;
//! its guests read them, as THREATS.md says.

use std::io;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::mutation::{Part, stands};

const NETWORK: &str = "/proc/self/net";
const TELLING: [&str; 5] = ["protocols", "sockstat", "sockstat6", "softnet_stat", "unix"];

/// Closes them in the network of this process, which must be its own.
pub(super) fn close() -> io::Result<()> {
    if !rustix::process::geteuid().is_root() || !stands(Part::NetworkCounters) {
        return Ok(());
    }
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let network = rustix::fs::open(NETWORK, flags, Mode::empty())?;
    for name in TELLING {
        match rustix::fs::chmodat(&network, name, Mode::empty(), AtFlags::empty()) {
            // Not every kernel has each of them.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

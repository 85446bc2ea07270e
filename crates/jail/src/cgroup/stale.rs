//! Groups of wardens that died without clearing up.
//!
//! A parent group is named after its warden: process namespace, pid and start
//! time. A group whose warden is certainly dead is emptied and removed; one
//! whose warden lives, or lives in another namespace where we cannot look, is
//! never touched.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{processes, read};

/// How long a sweep waits for killed leftovers to go.
const SWEEP_MS_MAX: u64 = 500;

/// The name of this process's parent group.
pub(super) fn own_name(prefix: &str) -> String {
    let pid = std::process::id();
    let started = start_time(pid).unwrap_or(0);
    format!("{prefix}-{}-{pid}-{started}", namespace().unwrap_or(0))
}

/// Removes what dead wardens left below `base`, and waits a while for what was
/// killed to go. Says whether all of it went.
pub(super) fn sweep(base: &Path, prefix: &str) -> bool {
    let until = Instant::now() + Duration::from_millis(SWEEP_MS_MAX);
    loop {
        if sweep_at_once(base, prefix) {
            return true;
        }
        if until < Instant::now() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The same, without waiting.
pub(super) fn sweep_at_once(base: &Path, prefix: &str) -> bool {
    let entries = std::fs::read_dir(base).into_iter().flatten().flatten();
    let dead = entries.filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .is_some_and(|name| is_of_the_dead(name, prefix))
    });
    dead.fold(true, |all, entry| clear(&entry.path()) & all)
}

/// Whether a group's name tells that its warden is certainly dead.
pub(super) fn is_left_over(group: &Path) -> bool {
    let name = group.file_name().and_then(|name| name.to_str());
    // A prefix holds no dash.
    name.and_then(|name| Some((name, name.split_once('-')?.0)))
        .is_some_and(|(name, prefix)| is_of_the_dead(name, prefix))
}

fn is_of_the_dead(name: &str, prefix: &str) -> bool {
    let Some(rest) = name
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix('-'))
    else {
        return false;
    };
    let numbers: Option<Vec<u64>> = rest.split('-').map(|part| part.parse().ok()).collect();
    let Some([space, pid, started]) = numbers.as_deref().and_then(|all| all.first_chunk::<3>())
    else {
        return false;
    };
    let alive = u32::try_from(*pid).ok().and_then(start_time) == Some(*started);
    namespace() == Some(*space) && !alive
}

/// Kills what is left in the leaves and removes them, then the parent, if they
/// are empty by then.
fn clear(parent: &Path) -> bool {
    let leaves = std::fs::read_dir(parent).into_iter().flatten().flatten();
    for leaf in leaves.filter(|entry| entry.path().is_dir()) {
        // In the house are supervisors, which outlive their wardens.
        let guests = leaf.file_name() != super::v2::HOUSE;
        let pids = if guests {
            processes(&leaf.path())
        } else {
            Vec::new()
        };
        for pid in pids.into_iter().filter_map(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = std::fs::remove_dir(leaf.path());
    }
    let removed = std::fs::remove_dir(parent);
    removed.is_ok() || !parent.exists()
}

/// When a process started, in ticks after boot; `None` if there is no such process,
/// or only a dead one that nobody has reaped yet.
fn start_time(pid: u32) -> Option<u64> {
    let text = read(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    // The name in parentheses may hold anything; field 22 counts from after it.
    let (_, after) = text.rsplit_once(')')?;
    let mut fields = after.split_whitespace();
    let lives = !matches!(fields.next()?, "Z" | "X");
    fields.nth(18)?.parse().ok().filter(|_| lives)
}

/// The number of our process namespace.
fn namespace() -> Option<u64> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?
        .strip_prefix("pid:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_living_warden_is_never_swept() {
        assert!(!is_of_the_dead(&own_name("strongroom"), "strongroom"));
    }

    #[test]
    fn a_dead_warden_is_told_by_its_start_time() {
        let space = namespace().unwrap_or(0);
        let own = std::process::id();
        assert!(is_of_the_dead(
            &format!("strongroom-{space}-{own}-1"),
            "strongroom"
        ));
        assert!(is_of_the_dead(
            &format!("strongroom-{space}-4194399-5"),
            "strongroom"
        ));
    }

    #[test]
    fn a_dead_warden_is_dead_before_it_is_reaped() {
        let mut child = std::process::Command::new("/bin/true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let flags = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(pid), flags).unwrap();
        assert_eq!(start_time(child.id()), None);
        child.wait().unwrap();
    }

    #[test]
    fn groups_of_others_are_not_ours() {
        let space = namespace().unwrap_or(0);
        for name in [
            "user.slice",
            "strongroom",
            "strongroom-x",
            "strongroom-1-1",
            &format!("other-{space}-4194399-5"),
            &format!("strongroom-{}-4194399-5", space + 1),
        ] {
            assert!(!is_of_the_dead(name, "strongroom"), "{name}");
        }
    }
}

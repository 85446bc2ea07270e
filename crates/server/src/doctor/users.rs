//! Whose rights on the host a guest would have that got through every wall.
//!
//! Tried, not guessed: a file that nobody sees is given to the first and to the
//! last of the users that guests run as, which fails for whoever has no power
//! over them and for users that a container does not map. Read besides: whether
//! this host gives some of them to somebody, who would then be the same user as a
//! guest. No run is refused for it, since every wall stands before this one.

use std::{io, ops::Range, os::unix::fs::fchown};

use strongroom_run::Tier;

use super::{fix, host::Host, row};
use crate::{api::Wall, backend::local_config, config::Config};

/// Where a host says whose ids are whose, and how a line of that is read.
const LISTS: [(&str, Reader); 3] = [
    ("/etc/subuid", lent),
    ("/etc/subgid", lent),
    ("/etc/passwd", own),
];
/// A name, and the first and the number of its ids.
type Reader = fn(&str) -> Option<(&str, u64, u64)>;
const MOVED: &str = "set `uid_base` in [jail] to the first of as many host users that nobody has";

/// The row; none in the tier `reduced`, which has it among its walls.
pub(super) fn row_of(config: &Config, host: &Host) -> Option<Wall> {
    let jail = local_config(&config.jail, config.workers);
    // Zygotes come after the guests, and one place between them.
    let count = [jail.pool_max, jail.zygotes_max, 1]
        .into_iter()
        .fold(jail.slots_max, u32::saturating_add);
    let users = jail.uid_base..jail.uid_base.saturating_add(count);
    let shown = |own, found: String, fix: String| row("users", own, false, found, Some(&fix));
    (jail.tier == Tier::Full).then(|| match (tried(&users), taken(&users)) {
        (Ok(()), None) => {
            let found = format!(
                "each guest is one of its own to the host, from {}",
                users.start
            );
            shown(true, found, String::new())
        }
        (Ok(()), Some(found)) => shown(false, found, MOVED.to_owned()),
        (Err(error), _) if host.is_root => {
            let found = format!("host user {} cannot be had: {error}", users.start);
            shown(false, found, MOVED.to_owned())
        }
        (Err(_), _) => {
            let found = "all guests are the station's own user to the host; THREATS.md says what \
                         that leaves";
            shown(false, found.to_owned(), fix::OWN_USERS.to_owned())
        }
    })
}

/// Gives a file away to the first and the last of them.
fn tried(users: &Range<u32>) -> io::Result<()> {
    let file = tempfile::tempfile()?;
    [users.start, users.end.saturating_sub(1)]
        .into_iter()
        .try_for_each(|user| fchown(&file, Some(user), Some(user)))
}

/// Who else has any of these users here, in words.
fn taken(users: &Range<u32>) -> Option<String> {
    LISTS.iter().find_map(|(path, read)| {
        let lines = std::fs::read_to_string(path).unwrap_or_default();
        let name = had_by(&lines, *read, users)?;
        let first = users.start;
        Some(format!(
            "{path} gives some of those from {first} on to {name}"
        ))
    })
}

fn had_by<'a>(lines: &'a str, read: Reader, users: &Range<u32>) -> Option<&'a str> {
    lines.lines().find_map(|line| {
        let (name, first, count) = read(line.trim())?;
        let is_before = u64::from(users.start) < first.saturating_add(count);
        (is_before && first < u64::from(users.end)).then_some(name)
    })
}

/// `name:first:count`.
fn lent(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split(':');
    Some((
        words.next()?,
        words.next()?.parse().ok()?,
        words.next()?.parse().ok()?,
    ))
}

/// `name:password:user:…`.
fn own(line: &str) -> Option<(&str, u64, u64)> {
    let mut words = line.split(':');
    Some((words.next()?, words.nth(1)?.parse().ok()?, 1))
}

#[cfg(test)]
mod tests {
    use super::{had_by, lent, own, tried};

    #[test]
    fn users_that_somebody_else_has_are_told_with_his_name() {
        let lines = "# made by useradd\nann:100000:65536\nbob:165536:65536\nodd:x:1\neve:7\n";
        for (users, name) in [
            (99_000..100_000, None),
            (99_000..100_001, Some("ann")),
            (165_535..165_536, Some("ann")),
            (165_536..165_540, Some("bob")),
            (231_071..231_080, Some("bob")),
            (231_072..231_080, None),
        ] {
            assert_eq!(had_by(lines, lent, &users), name, "{users:?}");
        }
        assert_eq!(had_by("all:0:4294967296", lent, &(7..8)), Some("all"));
        let accounts = "root:x:0:0:root:/root:/bin/sh\n+\ndirk:x:4711:100::/:/bin/sh\n";
        assert_eq!(had_by(accounts, own, &(4700..4712)), Some("dirk"));
        assert_eq!(had_by(accounts, own, &(4712..9999)), None);
    }

    #[test]
    fn only_who_has_power_over_the_users_of_guests_can_give_them_a_file() {
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(tried(&(1_879_100_000..1_879_100_004)).is_ok(), is_root);
    }
}

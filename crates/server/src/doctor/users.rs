//! Whose rights on the host a guest would have that got through every wall.
//!
//! Tried, not guessed: a file that nobody sees is given to the first and to the
//! last of the users that guests run as, which fails for whoever has no power
//! over them and for users that a container does not map. Read besides: whether
//! `/etc/subuid` lends some of them to somebody, who could then be the same user
//! as a guest. No run is refused for it, since every wall stands before this one.

use std::{io, ops::Range, os::unix::fs::fchown};

use strongroom_run::Tier;

use super::{fix, host::Host, row};
use crate::{api::Wall, backend::local_config, config::Config};

/// The users that subordinate ids are lent to, by their own rules.
const LENT: &str = "/etc/subuid";
const MOVED: &str = "set `uid_base` in [jail] to the first of as many host users that nobody has";

/// The row; none in the tier `reduced`, which has it among its walls.
pub(super) fn row_of(config: &Config, host: &Host) -> Option<Wall> {
    let jail = local_config(&config.jail, config.workers);
    let count = jail.slots_max.saturating_add(jail.pool_max);
    let users = jail.uid_base..jail.uid_base.saturating_add(count);
    let lent = std::fs::read_to_string(LENT).unwrap_or_default();
    let shown = |own, found: String, fix: String| row("users", own, false, found, Some(&fix));
    (jail.tier == Tier::Full).then(|| match (tried(&users), lent_to(&lent, &users)) {
        (Ok(()), None) => {
            let found = format!(
                "each guest is one of its own to the host, from {}",
                users.start
            );
            shown(true, found, String::new())
        }
        (Ok(()), Some(name)) => {
            let found = format!(
                "{LENT} lends some of those from {} on to {name}",
                users.start
            );
            shown(false, found, MOVED.to_owned())
        }
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

/// Who is lent any of these users, by lines of `name:first:count`.
fn lent_to<'a>(lines: &'a str, users: &Range<u32>) -> Option<&'a str> {
    lines.lines().find_map(|line| {
        let mut words = line.trim().split(':');
        let name = words.next()?;
        let first: u64 = words.next()?.parse().ok()?;
        let count: u64 = words.next()?.parse().ok()?;
        let is_before = u64::from(users.start) < first.saturating_add(count);
        (is_before && first < u64::from(users.end)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::{lent_to, tried};

    #[test]
    fn users_that_are_lent_to_somebody_are_told_with_his_name() {
        let lines = "# made by useradd\nann:100000:65536\nbob:165536:65536\nodd:x:1\neve:7\n";
        for (users, name) in [
            (99_000..100_000, None),
            (99_000..100_001, Some("ann")),
            (165_535..165_536, Some("ann")),
            (165_536..165_540, Some("bob")),
            (231_071..231_080, Some("bob")),
            (231_072..231_080, None),
        ] {
            assert_eq!(lent_to(lines, &users), name, "{users:?}");
        }
        assert_eq!(lent_to("all:0:4294967296", &(7..8)), Some("all"));
    }

    #[test]
    fn only_who_has_power_over_the_users_of_guests_can_give_them_a_file() {
        let is_root = rustix::process::geteuid().is_root();
        assert_eq!(tried(&(1_879_100_000..1_879_100_004)).is_ok(), is_root);
    }
}

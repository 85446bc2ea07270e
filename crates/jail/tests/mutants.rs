//! Takes away one wall at a time and shows who misses it.
//!
//! Not a test by itself but the work of `cargo xtask mutation`, which builds it
//! with the feature `mutation` and prints its findings as a table. Called with
//! `one` it besieges a cage from which the walls named in the environment are
//! missing; called with names or with nothing it does that for each wall.
//!
//! Where a second wall hides the loss of the first, that one is taken away as
//! well, and what counts is the difference that the first makes then.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../../../hostile/canaries.rs"]
mod canaries;
mod cell;
#[path = "../../../hostile/judge.rs"]
mod judge;
mod siege;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};
use strongroom_jail::mutation::{VARIABLE, names};
use strongroom_jail::{Tier, Warden, WardenConfig};

use canaries::Canaries;
use cell::Guest;
use judge::{FAMILIES, GATEWAY, Judged, Verdict, besiege, try_one};
use siege::{Caged, Kind, outside, outside_reduced};

const SOCKETS: &str = "Filter: no network, and sockets of some families are in no namespace";
const ADDRESSES: &str = "Filter: no addresses: a socketpair is connected already";
const CLIENTS: [&str; 3] = [
    "Filter: a client of the gateway opens TCP connections, of version 4 and no other kind",
    "Filter: a client also says how long to wait and to send at once",
    "Filter: a client may ask what it may say",
];
const OUTLIVE: Option<&str> = Some("pool: leave a process that outlives its first");
/// How the name of a row begins whose guests are no plain ones.
const OF_COPIES: &str = "Copies: ";
const OF_CLIENTS: &str = "Gateway: ";
const OF_REDUCED: &str = "Reduced: ";
/// Walls that stand behind others: row, what to take away with it, and the
/// only attempt to make where others would never end.
const COVERED: &[(&str, &[&str], Option<&str>)] = &[
    ("LandlockNetwork", &[SOCKETS, ADDRESSES], None),
    ("KillAtTheEnd", &["PidNamespace"], OUTLIVE),
    ("TimeLimit", &[], Some("pool: go on when its time is over")),
    ("Copies: CopyEnd", &["KillAtTheEnd"], OUTLIVE),
    // Other programs would use up the memory of the zygote itself.
    (
        "Copies: CopyGroup",
        &[],
        Some("pool: use more of the processor than it may"),
    ),
    ("Gateway: NetworkNamespace", &["LandlockNetwork"], None),
    (ADDRESSES_OF_CLIENTS, &["LandlockNetwork"], None),
    ("Reduced: KillAtTheEnd", &["DeathSignal"], OUTLIVE),
    ("Reduced: LandlockScopes", &["UserPerSlot"], None),
    ("Reduced: LandlockNetwork", &[SOCKETS, ADDRESSES], None),
    (
        "Reduced: TimeLimit",
        &[],
        Some("pool: go on when its time is over"),
    ),
    // The kernel counts the processes of a user as well.
    ("Reduced: WatchProcesses", &["ResourceLimits"], None),
];
const ADDRESSES_OF_CLIENTS: &str =
    "Gateway: Filter: no addresses: a socketpair is connected already";
/// Walls that copies come to in another way than guests that are executed. Not
/// here: those without which no copy can be made (user, process and control group
/// namespaces, new privileges, the filter); a foreign root, in which its zygote
/// could not start; and the signal at a parent's death, since a zygote ends with
/// its tracer and its copies with it.
const WALLS_OF_COPIES: &[&str] = &[
    "CapabilityBounding",
    "CapabilitySets",
    "CgroupMemory",
    "CgroupProcesses",
    "CgroupProcessor",
    "CopyEnd",
    "CopyGroup",
    "DescriptorsClosed",
    "IpcNamespace",
    "NetworkCounters",
    "HostNameNamespace",
    "Landlock",
    "LandlockFiles",
    "LandlockScopes",
    "NetworkNamespace",
    "OwnDeviceNodes",
    "OwnSession",
    "ReadOnly",
    "ReadOnlyOverlay",
    "ResourceLimits",
    "TmpfsBytes",
    "TmpfsFiles",
];
/// Those around a way out.
const WALLS_OF_CLIENTS: &[&str] = &[
    "DataApart",
    "LandlockNetwork",
    "NetworkNamespace",
    "Seccomp",
    ADDRESSES,
    CLIENTS[0],
    CLIENTS[1],
    CLIENTS[2],
];

/// Those of the tier `reduced`: what it shares with the other tier is built by
/// the same code, but here some of it stands alone.
const WALLS_OF_REDUCED: &[&str] = &[
    "CapabilityBounding",
    "CapabilitySets",
    "DeathSignal",
    "DescriptorsClosed",
    "KillAtTheEnd",
    "Landlock",
    "LandlockFiles",
    "LandlockNetwork",
    "LandlockScopes",
    "NoNewPrivileges",
    "Processors",
    "ReducedFilter",
    "ResourceLimits",
    "Seccomp",
    "TimeLimit",
    "UserPerSlot",
    "WatchFiles",
    "WatchMemory",
    "WatchProcesses",
    SOCKETS,
];
/// Those that no other tier has.
const ONLY_OF_REDUCED: [&str; 5] = [
    "ReducedFilter",
    "WatchMemory",
    "WatchProcesses",
    "WatchFiles",
    "Processors",
];

/// Every row of the table: plain guests first, then copies, then clients, then
/// those of the tier `reduced`.
fn rows() -> Vec<String> {
    let of_others = |name: &String| {
        let bare = name.as_str();
        ["CopyEnd", "CopyGroup", "DataApart"].contains(&bare)
            || CLIENTS.contains(&bare)
            || ONLY_OF_REDUCED.contains(&bare)
            || bare.starts_with("Filter: a copy ")
    };
    let (others, plain): (Vec<String>, Vec<String>) = names().into_iter().partition(of_others);
    let filters = others
        .iter()
        .filter(|name| name.starts_with("Filter: a copy "));
    let copies = WALLS_OF_COPIES.iter().map(ToString::to_string);
    let copies = copies.chain(filters.cloned());
    let clients = WALLS_OF_CLIENTS.iter();
    let reduced = WALLS_OF_REDUCED.iter();
    plain
        .into_iter()
        .chain(copies.map(|name| format!("{OF_COPIES}{name}")))
        .chain(clients.map(|name| format!("{OF_CLIENTS}{name}")))
        .chain(reduced.map(|name| format!("{OF_REDUCED}{name}")))
        .collect()
}

/// The kind of guest of a row, and the wall that it is without.
fn parsed(row: &str) -> (Kind, &str) {
    if let Some(wall) = row.strip_prefix(OF_COPIES) {
        return (Kind::Copy, wall);
    }
    if let Some(wall) = row.strip_prefix(OF_REDUCED) {
        return (Kind::Reduced, wall);
    }
    match row.strip_prefix(OF_CLIENTS) {
        Some(wall) => (Kind::Client, wall),
        None => (Kind::Plain, row),
    }
}

/// Sieges at the same time: much of each is waiting.
const TOGETHER: usize = 4;
/// Where the warden of a siege is copied from.
const PROGRAM: &str = "STRONGROOM_SIEGE_PROGRAM";

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if asked.first().is_some_and(|word| word == "one") {
        let kind = asked.get(1).map_or("", String::as_str);
        return one(
            parsed(kind).0,
            asked.get(2).and_then(|word| word.split_once(": ")),
        );
    }
    let walls = Mutex::new(
        rows()
            .into_iter()
            .filter(|name| asked.is_empty() || asked.contains(name))
            .rev()
            .collect::<Vec<_>>(),
    );
    // A build without the feature may take its place meanwhile.
    let folder = cell::directory_with("empty", "");
    let program = folder.path().join("warden");
    std::fs::copy(cell::config().program, &program).unwrap();
    let siege = Siege { program };
    for kind in ["", OF_COPIES, OF_CLIENTS, OF_REDUCED] {
        println!("{}", row(kind, &[], &siege.without(kind, &[], None)));
    }
    std::thread::scope(|scope| {
        for _ in 0..TOGETHER {
            scope.spawn(|| {
                loop {
                    let next = walls.lock().unwrap().pop();
                    let Some(wall) = next else { return };
                    println!("{}", siege.examined(&wall));
                }
            });
        }
    });
}

/// Besieges one cage and prints every verdict.
fn one(kind: Kind, witness: Option<(&str, &str)>) {
    let home = cell::directory_with("empty", "");
    let config = WardenConfig {
        tier: match kind {
            Kind::Reduced => Tier::Reduced,
            Kind::Plain | Kind::Copy | Kind::Client => Tier::Full,
        },
        folder: home.path().to_owned(),
        program: std::env::var_os(PROGRAM).map_or(cell::config().program, PathBuf::from),
        uid_base: 1_600_000_000 + std::process::id() % 1_000_000 * 64,
        // Or the wardens of other sieges would clear away what we leave.
        cgroup_name: format!("siege_{}", std::process::id()),
        ..cell::config()
    };
    let warden = Warden::start(config.clone()).unwrap();
    let canaries = Canaries::plant().unwrap();
    if kind == Kind::Copy {
        Guest::prepare(&warden, config.zygote_slot(0), cell::zygote()).forget();
    }
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        is_patient: false,
        kind,
    };
    match witness {
        Some((family, name)) => {
            let (family, _) = FAMILIES.iter().find(|(one, _)| *one == family).unwrap();
            try_one(&place, family, name).iter().for_each(show);
        }
        None => {
            let families: &[_] = match kind {
                Kind::Client => &[GATEWAY],
                Kind::Plain | Kind::Copy | Kind::Reduced => &FAMILIES,
            };
            // What a tier is known to leave open is no loss.
            for (family, _) in families {
                let judged = besiege(&place, family);
                let is_news = |one: &&Judged| kind != Kind::Reduced || !one.is_open_in_reduced();
                judged.iter().filter(is_news).for_each(show);
            }
        }
    }
    let left = siege::outliving();
    for pid in left
        .iter()
        .filter_map(|pid| rustix::process::Pid::from_raw(*pid))
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    show(&Judged {
        family: "outside",
        attempt: "nothing outlives its run".to_owned(),
        verdict: match left.is_empty() {
            true => Verdict::Contained,
            false => Verdict::GotOut,
        },
        detail: format!("{left:?}"),
    });
    drop(warden);
    if witness.is_none() {
        let judged = match kind {
            Kind::Reduced => outside_reduced::looked_at(&config),
            Kind::Plain | Kind::Copy | Kind::Client => outside::looked_at(&config, kind),
        };
        judged.iter().for_each(show);
    }
}

fn show(judged: &Judged) {
    let verdict = format!("{:?}", judged.verdict);
    let attempt = format!("{}: {}", judged.family, judged.attempt);
    println!(
        "{}",
        json!({"attempt": attempt, "verdict": verdict, "detail": judged.detail})
    );
}

struct Siege {
    program: PathBuf,
}

impl Siege {
    /// Every verdict of a siege without these walls, or why there is none.
    fn without(
        &self,
        kind: &str,
        walls: &[&str],
        witness: Option<&str>,
    ) -> Result<Vec<Value>, String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["one", kind])
            .args(witness)
            .env(VARIABLE, walls.join("\n"))
            .env(PROGRAM, &self.program)
            .output()
            .unwrap();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().find(|line| line.contains("panicked"));
            let after = said
                .lines()
                .skip_while(|line| !line.contains("panicked"))
                .nth(1);
            return Err(format!(
                "{} {}",
                line.unwrap_or("ended"),
                after.unwrap_or_default()
            ));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect())
    }

    fn examined(&self, named: &str) -> Value {
        let covered = COVERED.iter().find(|(name, ..)| *name == named);
        let wall = parsed(named).1;
        let kind = named.strip_suffix(wall).unwrap_or_default();
        let (covers, witness) = covered.map_or((&[][..], None), |(_, covers, one)| (*covers, *one));
        let mut missing = self.without(kind, &[&[wall], covers].concat(), witness);
        if let (Ok(found), false) = (&mut missing, covers.is_empty()) {
            let before: BTreeSet<String> = match self.without(kind, covers, witness) {
                Ok(before) => before
                    .iter()
                    .filter(|one| got_out(one))
                    .map(attempt)
                    .collect(),
                Err(why) => return row(named, covers, &Err(why)),
            };
            found.retain(|one| !before.contains(&attempt(one)));
        }
        row(named, covers, &missing)
    }
}

fn got_out(one: &Value) -> bool {
    one["verdict"] == "GotOut"
}

fn attempt(one: &Value) -> String {
    one["attempt"].as_str().unwrap_or_default().to_owned()
}

fn row(wall: &str, covers: &[&str], found: &Result<Vec<Value>, String>) -> Value {
    let (all, refused) = match found {
        Ok(all) => (all.as_slice(), None),
        Err(why) => (&[][..], Some(why)),
    };
    let missed: Vec<String> = all.iter().filter(|one| got_out(one)).map(attempt).collect();
    let broken: Vec<&Value> = all
        .iter()
        .filter(|one| one["verdict"] == "Broken")
        .collect();
    json!({
        "wall": wall, "without": covers, "tried": all.len(),
        "missed_by": missed, "broken": broken, "refused": refused,
    })
}

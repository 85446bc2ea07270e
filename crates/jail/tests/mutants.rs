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
use strongroom_jail::{Warden, WardenConfig};

use canaries::Canaries;
use judge::{FAMILIES, Judged, Verdict, besiege, try_one};
use siege::{Caged, outside};

const SOCKETS: &str = "Filter: no network, and sockets of some families are in no namespace";
const ADDRESSES: &str = "Filter: no addresses: a socketpair is connected already";
/// Walls that stand behind others: wall, what to take away with it, and the
/// only attempt to make where others would never end.
const COVERED: &[(&str, &[&str], Option<&str>)] = &[
    ("LandlockNetwork", &[SOCKETS, ADDRESSES], None),
    (
        "KillAtTheEnd",
        &["PidNamespace"],
        Some("pool: leave a process that outlives its first"),
    ),
];
/// Sieges at the same time: much of each is waiting.
const TOGETHER: usize = 4;
/// Where the warden of a siege is copied from.
const PROGRAM: &str = "STRONGROOM_SIEGE_PROGRAM";

fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    if asked.first().is_some_and(|word| word == "one") {
        return one(asked.get(1).and_then(|word| word.split_once(": ")));
    }
    let walls = Mutex::new(
        names()
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
    println!("{}", row("", &[], &siege.without(&[], None)));
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
fn one(witness: Option<(&str, &str)>) {
    let config = WardenConfig {
        program: std::env::var_os(PROGRAM).map_or(cell::config().program, PathBuf::from),
        uid_base: 1_600_000_000 + std::process::id() % 1_000_000 * 64,
        // Or the wardens of other sieges would clear away what we leave.
        cgroup_name: format!("siege_{}", std::process::id()),
        ..cell::config()
    };
    let warden = Warden::start(config.clone()).unwrap();
    let canaries = Canaries::plant().unwrap();
    let place = Caged {
        warden: &warden,
        canaries: &canaries,
        // Time limits are the warden's own, and no wall that can be left out.
        is_patient: false,
        is_copied: false,
    };
    match witness {
        Some((family, name)) => {
            let (family, _) = FAMILIES.iter().find(|(one, _)| *one == family).unwrap();
            try_one(&place, family, name).iter().for_each(show);
        }
        None => {
            for (family, _) in FAMILIES {
                besiege(&place, family).iter().for_each(show);
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
        outside::looked_at(&config).iter().for_each(show);
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
    fn without(&self, walls: &[&str], witness: Option<&str>) -> Result<Vec<Value>, String> {
        let output = Command::new(std::env::current_exe().unwrap())
            .arg("one")
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

    fn examined(&self, wall: &str) -> Value {
        let covered = COVERED.iter().find(|(name, ..)| *name == wall);
        let (covers, witness) = covered.map_or((&[][..], None), |(_, covers, one)| (*covers, *one));
        let mut missing = self.without(&[&[wall], covers].concat(), witness);
        if let (Ok(found), false) = (&mut missing, covers.is_empty()) {
            let before: BTreeSet<String> = match self.without(covers, witness) {
                Ok(before) => before
                    .iter()
                    .filter(|one| got_out(one))
                    .map(attempt)
                    .collect(),
                Err(why) => return row(wall, covers, &Err(why)),
            };
            found.retain(|one| !before.contains(&attempt(one)));
        }
        row(wall, covers, &missing)
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

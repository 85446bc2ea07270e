//! Runs the hostile programs somewhere and judges them: part of several tests and chores.
//!
//! A [`Place`] is anywhere that runs a program: a cage, a station, or the bare
//! host, where every attempt must get out. The verdicts are the programs' own,
//! except that an attempt which should cost a run its life is contained when
//! the run ended for a reason that the attempt names.

use std::process::Command;

use serde_json::{Value, json};

/// What every family shares, put before it.
const SHARED: &str = include_str!("attempt.py");
/// The family that its readers judge.
const OUTPUT: (&str, &str) = ("output", include_str!("output.py"));
/// The family for guests that have a gateway, which few places give.
pub const GATEWAY: (&str, &str) = ("gateway", include_str!("gateway.py"));
/// Every family that judges itself, by name.
pub const FAMILIES: [(&str, &str); 10] = [
    ("privilege", include_str!("privilege.py")),
    ("files", include_str!("files.py")),
    ("processes", include_str!("processes.py")),
    ("network", include_str!("network.py")),
    ("kernel", include_str!("kernel.py")),
    ("memory", include_str!("memory.py")),
    ("disk", include_str!("disk.py")),
    ("pool", include_str!("pool.py")),
    ("residue", include_str!("residue.py")),
    ("neighbours", include_str!("neighbours.py")),
];

/// How one run of a program ended.
pub struct Ended {
    pub stdout: String,
    /// `succeeded`, `failed`, `timed_out`, `out_of_memory`, `signal N`, …
    pub reason: String,
}

/// Somewhere that runs programs.
pub trait Place {
    /// What the programs are told: limits, canaries and where they may write.
    fn arguments(&self) -> Value;

    /// Whether to wait for attempts that only time ends.
    fn is_patient(&self) -> bool {
        true
    }

    /// Runs a program to its end.
    fn run(&self, source: &str) -> Ended;

    /// Runs a program until it says that it has planted everything, does
    /// `meanwhile`, and ends it.
    fn run_beside(&self, source: &str, meanwhile: &mut dyn FnMut());
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Contained,
    GotOut,
    /// What it looks for is not here.
    Skipped,
    /// It could not be judged, which is as bad as getting out.
    Broken,
}

/// One attempt and what became of it.
#[derive(Clone, Debug)]
#[allow(dead_code)]
pub struct Judged {
    pub family: &'static str,
    pub attempt: String,
    pub verdict: Verdict,
    pub detail: String,
}

/// What the tier `reduced` cannot close, attempt by attempt. It only shrinks.
const OPEN_IN_REDUCED: &[&str] = &[
    // Without a root and a process namespace of its own a guest can ask whether
    // a path or a process of the host exists, though not open or signal it.
    "walk above its root",
    "reach a service by its socket file",
    "learn that a process of the host exists",
    "see the first process of its sandbox in /proc",
    "see that its number is that of the host",
    // Without mounts nothing forbids mapping a written file to execute it.
    "run a program that it wrote through the loader",
    // Without control groups only whole processors can be kept from it.
    "use more of the processor than it may",
];

impl Judged {
    /// Whether it got out where the tier `reduced` is known not to hold it.
    #[allow(dead_code)]
    pub fn is_open_in_reduced(&self) -> bool {
        self.verdict == Verdict::GotOut && OPEN_IN_REDUCED.contains(&self.attempt.as_str())
    }
}

/// An attempt as its family declares it.
struct Attempt {
    name: String,
    part: String,
    /// Reasons by which the run may end instead of a verdict.
    ends: Vec<String>,
}

/// Runs one attempt of a family, alone.
#[allow(dead_code)]
pub fn try_one(place: &dyn Place, family: &'static str, name: &str) -> Vec<Judged> {
    let attempts = declared(family);
    let own: Vec<&Attempt> = attempts.iter().filter(|one| one.name == name).collect();
    let only = with(place.arguments(), "only", json!([name]));
    judge(family, &own, &place.run(&source(family, only)))
}

/// Runs one family and judges every attempt of it.
pub fn besiege(place: &dyn Place, family: &'static str) -> Vec<Judged> {
    let attempts = declared(family);
    let part = |name: &'static str| attempts.iter().filter(move |one| one.part == name);
    let (fatal, harmless): (Vec<&Attempt>, Vec<&Attempt>) =
        part("solo").partition(|one| !one.ends.is_empty());
    let mut judged = Vec::new();
    if !harmless.is_empty() {
        let ended = place.run(&source(family, place.arguments()));
        judged.extend(judge(family, &harmless, &ended));
    }
    for one in fatal {
        if one.ends == ["timed_out"] && !place.is_patient() {
            continue;
        }
        let only = with(place.arguments(), "only", json!([one.name]));
        judged.extend(judge(family, &[one], &place.run(&source(family, only))));
    }
    let looks: Vec<&Attempt> = part("look").collect();
    if looks.is_empty() {
        return judged;
    }
    let plant = with(place.arguments(), "part", json!("plant"));
    let look = source(family, with(place.arguments(), "part", json!("look")));
    if family == "neighbours" {
        let staying = source(family, with(plant, "stay", json!(true)));
        let mut meanwhile = || judged.extend(judge(family, &looks, &place.run(&look)));
        place.run_beside(&staying, &mut meanwhile);
    } else {
        place.run(&source(family, plant));
        judged.extend(judge(family, &looks, &place.run(&look)));
    }
    judged
}

/// The whole text of a program.
pub fn source(family: &str, arguments: Value) -> String {
    let (_, own) = FAMILIES
        .iter()
        .chain([&OUTPUT, &GATEWAY])
        .find(|(name, _)| *name == family)
        .expect("families are named in one place");
    // JSON in a JSON string is a Python string.
    let text = json!(arguments.to_string());
    format!("import json\nARGUMENTS = json.loads({text})\n{SHARED}\n{own}")
}

fn with(mut arguments: Value, key: &str, value: Value) -> Value {
    arguments[key] = value;
    arguments
}

/// The attempts of a family, by name.
#[allow(dead_code)]
pub fn names(family: &'static str) -> Vec<String> {
    declared(family).into_iter().map(|one| one.name).collect()
}

/// Asks the program itself, on this host, where it does nothing but answer.
fn declared(family: &'static str) -> Vec<Attempt> {
    let output = Command::new("/usr/bin/python3")
        .args(["-I", "-S", "-c", &source(family, json!({"list": true}))])
        .output()
        .expect("the host has an interpreter");
    let text = String::from_utf8_lossy(&output.stdout);
    let text_of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found: Vec<Attempt> = json_lines(&text)
        .map(|line| Attempt {
            name: text_of(&line["attempt"]),
            part: text_of(&line["part"]),
            ends: line["ends"]
                .as_array()
                .map(|ends| ends.iter().map(text_of).collect())
                .unwrap_or_default(),
        })
        .collect();
    assert!(
        !found.is_empty(),
        "{family} declares nothing: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    found
}

fn judge(family: &'static str, expected: &[&Attempt], ended: &Ended) -> Vec<Judged> {
    let lines: Vec<Value> = json_lines(&ended.stdout).collect();
    let judged = expected.iter().map(|attempt| {
        let own = lines
            .iter()
            .rev()
            .find(|line| line["attempt"] == *attempt.name);
        let said = own
            .and_then(|line| line["verdict"].as_str())
            .unwrap_or("nothing");
        let detail = own
            .and_then(|line| line["detail"].as_str())
            .unwrap_or_default();
        let (verdict, detail) = match said {
            "contained" => (Verdict::Contained, detail.to_owned()),
            "got out" => (Verdict::GotOut, detail.to_owned()),
            "skipped" => (Verdict::Skipped, detail.to_owned()),
            "trying" if attempt.ends.contains(&ended.reason) => (
                Verdict::Contained,
                format!("the run ended: {}", ended.reason),
            ),
            _ => (
                Verdict::Broken,
                format!("said {said} {detail} and the run ended: {}", ended.reason),
            ),
        };
        Judged {
            family,
            attempt: attempt.name.clone(),
            verdict,
            detail,
        }
    });
    judged.collect()
}

fn json_lines(text: &str) -> impl Iterator<Item = Value> + '_ {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
}

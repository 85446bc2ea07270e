//! No two runs that were executed share a stream of randomness, a hash seed or an
//! address, whether for their work or ahead of it, in either tier, on any runtime
//! that has randomness, and neither do two stages of one run. Copies are tried in
//! `copies.rs`; Starlark has nothing that differs from run to run.
//!
//! All of what every run drew, in all houses together, is laid side by side. A
//! house is asked again until enough of its runs have begun in its way; those
//! that began otherwise meanwhile count as well.

use std::collections::{BTreeMap, BTreeSet};

use strongroom_core::plan::Stage;
use tokio::time::Instant;

use crate::house::{House, PATIENCE, Task};
use crate::stages::through;

/// Every stream that a function is likely to use, at the top of any function.
/// A copy has its parent outside of its processes; who waited has loaded more
/// than it was asked to.
const STREAMS: &str = "
import sys
AHEAD = 'csv' in sys.modules
import os, random, secrets, ssl, tempfile, uuid
print('way', os.getppid() == 0, AHEAD)
print('stream', random.random(), random.Random().random(), secrets.token_hex(8))
print('stream', ssl.RAND_bytes(8).hex(), uuid.uuid4(), uuid.uuid1().node, os.urandom(8).hex())
print('stream', random.SystemRandom().random(), next(tempfile._get_candidate_names()))
print('seed', hash('strongroom'), hash('another'))
print('seed', id(object()), id(random))
try:
    print('seed', *[line.split()[0] for line in open('/proc/self/maps') if 'libc' in line and 'r-xp' in line or '[stack]' in line])
except PermissionError:
    print('seed', id(os.environ), id(print))
def expose(data, ctx): return 1
def download(ctx): return 1
def transform(data, ctx): return 1
";
/// The same for Node.js, as far as it has them.
const STREAMS_OF_NODE: &str = "
const crypto = require('crypto'), fs = require('fs');
const maps = fs.readFileSync('/proc/self/maps', 'utf8').split('\\n');
const places = maps.filter((line) => /stack|libc.*r-xp|r-xp.*libc/.test(line));
console.log('way False False');
console.log('stream', Math.random(), crypto.randomUUID(), crypto.randomBytes(8).toString('hex'));
console.log('seed', ...places.map((line) => line.split(' ')[0]));
";
const STREAMS_OF_SH: &str = "
echo way False False
echo stream $(od -An -tx8 -N16 /dev/urandom)
echo seed $(grep -e stack -e libc.*r-xp -e r-xp.*libc /proc/self/maps | cut -d' ' -f1)
";
/// Runs of each caller that must have begun in the way that is tried.
const RUNS: usize = 2;
const CALLERS: [&str; 2] = ["one", "another"];

/// What was drawn so far, and by whom.
#[derive(Default)]
struct Drawn {
    streams: BTreeSet<String>,
    seeds: BTreeMap<String, (&'static str, &'static str)>,
}

impl Drawn {
    /// Takes what one guest printed. Copies that come along may share seeds.
    fn take(&mut self, way: &'static str, caller: &'static str, text: &str, is_copy: bool) {
        for line in text.lines() {
            let (kind, words) = line.split_once(' ').unwrap();
            for word in words.split(' ') {
                match kind {
                    "stream" => assert!(
                        self.streams.insert(word.to_owned()),
                        "{way}: {word} was drawn before: {text}"
                    ),
                    "seed" => {
                        let before = self.seeds.insert(word.to_owned(), (way, caller));
                        let own = before == Some((way, caller)) && is_copy;
                        assert!(own || before.is_none(), "{word}: {before:?}, {way}: {text}");
                    }
                    _ => {}
                }
            }
        }
    }
}

/// Whether a guest that printed this was a copy, and whether it was made ahead.
fn way(text: &str) -> (bool, bool) {
    let line = text.lines().find_map(|line| line.strip_prefix("way "));
    let words: Vec<bool> = line
        .unwrap()
        .split(' ')
        .map(|word| word == "True")
        .collect();
    (words[0], words[1])
}

#[tokio::test]
async fn no_two_runs_that_were_executed_or_made_ahead_share_randomness_a_seed_or_an_address() {
    let mut drawn = Drawn::default();
    let ways = [
        ("executed", House::new(), (false, false)),
        ("made ahead", House::with_pool(2, 4), (false, true)),
    ];
    for (way_name, house, wanted) in &ways {
        for caller in CALLERS {
            let task = Task {
                tenant: caller,
                ..Task::python(STREAMS)
            };
            let until = Instant::now() + PATIENCE;
            let mut meant = 0;
            while meant < RUNS {
                assert!(Instant::now() < until, "no two runs were {way_name}");
                let text = house.run(task.clone()).await.succeeded().stdout();
                let found = way(&text);
                meant += usize::from(found == *wanted);
                drawn.take(way_name, caller, &text, found.0);
            }
        }
    }
}

#[tokio::test]
async fn no_two_runs_share_randomness_a_seed_or_an_address_on_any_runtime_or_in_either_tier() {
    let mut drawn = Drawn::default();
    let (full, reduced) = (House::new(), House::reduced());
    for (way_name, house, task) in [
        ("reduced", &reduced, Task::python(STREAMS)),
        (
            "on node",
            &full,
            Task::file("main.cjs", STREAMS_OF_NODE).runs_on("node"),
        ),
        ("on sh", &full, Task::sh(STREAMS_OF_SH)),
    ] {
        for caller in CALLERS {
            for _ in 0..RUNS {
                let task = Task {
                    tenant: caller,
                    ..task.clone()
                };
                let text = house.run(task).await.succeeded().stdout();
                let kinds = |kind| {
                    text.lines()
                        .any(|line| line.split(' ').nth(1).is_some() && line.starts_with(kind))
                };
                assert!(kinds("stream ") && kinds("seed "), "{way_name}: {text}");
                drawn.take(way_name, caller, &text, false);
            }
        }
    }
}

#[tokio::test]
async fn no_two_stages_of_a_run_share_randomness_however_each_begins() {
    let mut drawn = Drawn::default();
    for (way_name, house) in [
        ("executed", House::new()),
        ("made ahead", House::with_pool(2, 4)),
        ("copied", House::with_zygotes(2, 4, 2)),
    ] {
        for _ in 0..RUNS {
            let through = through(&house, &Task::python(STREAMS), &Stage::ALL).await;
            assert_eq!(through.value(), &serde_json::json!(1));
            let said = through.said();
            let stages: Vec<&str> = said.split("way ").skip(1).collect();
            assert_eq!(stages.len(), Stage::ALL.len(), "{said}");
            for stage in stages {
                let text = format!("way {}", stage.trim_end());
                drawn.take(way_name, "tester", &text, way(&text).0);
            }
        }
    }
}

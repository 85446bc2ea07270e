//! No two runs that were executed share a stream of randomness, a hash seed or an
//! address, whether for their work or ahead of it. Copies are tried in `copies.rs`.
//!
//! All of what every run drew, in all houses together, is laid side by side. A
//! house is asked again until enough of its runs have begun in its way; those
//! that began otherwise meanwhile count as well.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;

use crate::house::{House, PATIENCE, Task};

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
print('seed', *[line.split()[0] for line in open('/proc/self/maps') if 'libc' in line and 'r-xp' in line or '[stack]' in line])
def expose(data, ctx): return 1
def download(ctx): return 1
def transform(data, ctx): return 1
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

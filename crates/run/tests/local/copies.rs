//! Runs that are copies of an interpreter that was loaded for their caller.

use std::collections::BTreeSet;

use serde_json::json;
use strongroom_core::run::Reason;
use tokio::time::Instant;

use crate::house::{House, PATIENCE, Task};

/// A copy has its parent outside of its processes; any other guest has init.
const IS_COPY: &str = "import os; print(os.getppid() == 0)";

/// A house that copies, run until it does for this task's caller.
async fn copying(house: &House, tenant: &'static str) {
    let task = Task {
        tenant,
        ..Task::python(IS_COPY)
    };
    let until = Instant::now() + PATIENCE;
    while house.run(task.clone()).await.stdout() != "True" {
        assert!(Instant::now() < until, "no run became a copy");
    }
}

#[tokio::test]
async fn who_runs_much_gets_copies_that_do_what_any_run_does() {
    let house = House::with_zygotes(2, 4, 2);
    copying(&house, "tester").await;
    let transform = Task::python(
        "def transform(data, ctx):\n    return {'by': ctx.args['by'], 'files': data.names()}",
    )
    .args(json!({ "by": "species" }));
    let outcome = house.run(transform).await;
    assert_eq!(outcome.reason(), &Reason::Succeeded, "{outcome:?}");
    assert_eq!(
        outcome.ended.value,
        Some(json!({ "by": "species", "files": [] }))
    );
    let failing = Task::python("import sys\nprint('seen')\nsys.exit(3)");
    let outcome = house.run(failing).await;
    assert_eq!(outcome.stdout(), "seen");
    let failed = Reason::Failed {
        exit_code: Some(3),
        signal: None,
    };
    assert_eq!(outcome.reason(), &failed);
    let asking = Task::python("import sys\nprint(sys.stdin.read(), len(sys.argv), __name__)")
        .args(json!([1, 2]));
    assert_eq!(house.run(asking).await.stdout(), "[1,2] 1 __main__");
}

#[tokio::test]
async fn a_copy_is_held_to_the_limits_of_its_run() {
    let house = House::with_zygotes(2, 4, 2);
    copying(&house, "tester").await;
    let hungry =
        Task::python("held = bytearray(1 << 30)").limits(|limits| limits.memory_bytes = 64 << 20);
    let outcome = house.run(hungry).await;
    assert!(
        matches!(outcome.reason(), Reason::OutOfMemory { .. }),
        "{outcome:?}"
    );
    let endless = Task::python("while True: pass").limits(|limits| limits.time_ms = 300);
    let outcome = house.run(endless).await;
    assert!(
        matches!(outcome.reason(), Reason::TimedOut { .. }),
        "{outcome:?}"
    );
    copying(&house, "tester").await;
}

/// Every stream of randomness that a function is likely to use.
const STREAMS: &str = "
import os, random, secrets, ssl, tempfile, uuid
print(os.getppid() == 0)
print(random.random(), random.Random().random(), secrets.token_hex(8))
print(ssl.RAND_bytes(8).hex(), uuid.uuid4(), uuid.uuid1().node, os.urandom(8).hex())
print(next(tempfile._get_candidate_names()))
print(hash('strongroom'), id(object()))";

#[tokio::test]
async fn no_two_copies_share_randomness_and_no_two_callers_a_hash_seed_or_layout() {
    let house = House::with_zygotes(2, 4, 2);
    let mut seeds = BTreeSet::new();
    for tenant in ["one", "another"] {
        copying(&house, tenant).await;
        let task = Task {
            tenant,
            ..Task::python(STREAMS)
        };
        let mut seen = BTreeSet::new();
        let mut copies = 0;
        let until = Instant::now() + PATIENCE;
        // Where no copy is at hand a run begins another way.
        while copies < 3 {
            assert!(Instant::now() < until, "no three runs became copies");
            let text = house.run(task.clone()).await.stdout();
            let (is_copy, rest) = text.split_once('\n').unwrap();
            let (streams, seed) = rest.rsplit_once('\n').unwrap();
            for word in streams.split_whitespace() {
                assert!(seen.insert(word.to_owned()), "{word} twice: {text}");
            }
            if is_copy == "True" {
                copies += 1;
                seeds.extend(seed.split(' ').map(|seed| (seed.to_owned(), tenant)));
            }
        }
    }
    // One number is the hash of a text, the other the place of an object.
    for pair in seeds.iter().collect::<Vec<_>>().windows(2) {
        assert!(pair[0].0 != pair[1].0, "{seeds:?}");
    }
    assert!(4 <= seeds.len(), "{seeds:?}");
}

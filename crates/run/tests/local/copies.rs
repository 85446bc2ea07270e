//! Runs that are copies of an interpreter that was loaded for their caller.

use std::{collections::BTreeSet, fs, io::Write as _, path::Path, process::Command};

use serde_json::json;
use strongroom_core::{digest::Digest, run::Reason};
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

/// The numpy that is tried, as the package index has it.
const NUMPY: &str = "numpy==2.2.6";
/// A package that makes generators while it is loaded, as some do.
const MAKES_GENERATORS: &str = "
import numpy.random
state, drawn = numpy.random.RandomState(7), numpy.random.default_rng(7)
state.standard_normal()
";
const STREAMS_OF_NUMPY: &str = "
import os, numpy.random, makes
print(os.getppid() == 0)
print(numpy.random.random(), makes.state.random_sample(), makes.drawn.random())
print(makes.state.standard_normal(), makes.drawn.spawn(1)[0].random())";
/// What of numpy's generators a copy has to know, for hosts that cannot fetch it.
const STANDS_IN: &str = "
class SeedSequence: pass
class BitGenerator:
    seed_seq = None
    def __init__(self, word=None): self.word, self.seed_seq = word or draw(), SeedSequence()
    def __getstate__(self): return self.word, self.seed_seq
    def __setstate__(self, state): self.word, self.seed_seq = state
    def random(self): self.word = self.word * 6364136223846793005 % 2**64 + 1; return self.word
class MT19937(BitGenerator): pass
class PCG64(BitGenerator):
    def spawn(self, count): return [PCG64(self.word + 2)]
class RandomState:
    def __init__(self, seed=None): self._bit_generator = MT19937(seed)
    def seed(self): self._bit_generator.word = draw()
    def random_sample(self): return self._bit_generator.random()
    standard_normal = random_sample
def draw():
    import os
    return int.from_bytes(os.urandom(8), 'little')
default_rng = PCG64
_rand = RandomState(1)
seed, random = _rand.seed, _rand.random_sample
";

/// Lays numpy here, fetched once and kept, or else what stands in for it; who
/// runs the tests is told of that, whatever he reads of them.
fn lay_numpy(packages: &Path) {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(NUMPY);
    if kept.exists() || fetch_numpy(&kept) {
        let copied = Command::new("/bin/cp")
            .arg("-r")
            .args([&kept, packages])
            .status();
        return assert!(copied.unwrap().success());
    }
    let told = writeln!(
        std::io::stderr(),
        "{NUMPY} could not be fetched: copies are tried with what stands in for it"
    );
    told.unwrap();
    fs::create_dir_all(packages.join("numpy/random")).unwrap();
    fs::write(packages.join("numpy/__init__.py"), "").unwrap();
    fs::write(packages.join("numpy/random/__init__.py"), STANDS_IN).unwrap();
}

fn fetch_numpy(kept: &Path) -> bool {
    let fetched = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let place = fetched.path().join("numpy");
    let done = Command::new("/usr/bin/python3")
        .args(["-m", "pip", "install", "--quiet", "--no-deps"])
        .args(["--only-binary", ":all:", "--no-compile"])
        .args(["--timeout", "10", "--retries", "0"])
        .args([Path::new("--target"), &place, Path::new(NUMPY)])
        .output();
    // Somebody else may have been faster.
    done.is_ok_and(|done| done.status.success())
        && (fs::rename(place, kept).is_ok() || kept.exists())
}

#[tokio::test]
async fn no_two_copies_share_a_generator_of_numpy_whoever_made_it() {
    let house = House::with_zygotes(2, 4, 2);
    let folder = tempfile::tempdir().unwrap();
    let toml = "base = \"python3\"\npackages = \"packages\"\npreload = [\"makes\"]\n";
    fs::write(folder.path().join("runtime.toml"), toml).unwrap();
    let packages = folder.path().join("packages");
    lay_numpy(&packages);
    fs::write(packages.join("makes.py"), MAKES_GENERATORS).unwrap();
    let name = "own".parse().unwrap();
    let runtimes = house.local.runtimes();
    runtimes.add(name, folder.path(), Digest::of(b"1")).unwrap();
    let task = Task::python(STREAMS_OF_NUMPY).runs_on("own");
    let mut seen = BTreeSet::new();
    let mut copies = 0;
    let until = Instant::now() + PATIENCE;
    while copies < 3 {
        assert!(Instant::now() < until, "no three runs became copies");
        let text = house.run(task.clone()).await.succeeded().stdout();
        let (is_copy, streams) = text.split_once('\n').unwrap();
        if is_copy == "True" {
            copies += 1;
            for word in streams.split_whitespace() {
                assert!(seen.insert(word.to_owned()), "{word} twice: {text}");
            }
        }
    }
}

//! How a law about arbitrary bytes is tried without a fuzzer: on the corpus that
//! is checked in, and on edits of it.
//!
//! A seed is cut, copied into itself, spliced with another, and given words that
//! its format knows. That finds less than libFuzzer, which `cargo xtask fuzz`
//! uses for the same laws where it is installed, but needs no other toolchain and
//! runs with every other test. This file belongs to no crate: each includes it by
//! its path.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// Edited seeds in a normal run of the tests.
const ROUNDS: u32 = 1000;
/// How long a normal run may take of them, whatever their number.
const SPAN: Duration = Duration::from_secs(1);
/// Says how many seconds to go on instead; `cargo xtask fuzz` sets it.
const SECONDS: &str = "STRONGROOM_FUZZ_SECONDS";
/// The most edits of one seed.
const EDITS_MAX: usize = 10;
/// The longest input, in bytes.
const LEN_MAX: usize = 16 * 1024;

/// Tries `law` on the corpus of `target`, on `more`, and on edits of both.
///
/// `words` are what the format knows.
pub fn try_law(target: &str, words: &[&[u8]], more: &[Vec<u8>], law: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let files = fs::read_dir(corpus.join(target)).into_iter().flatten();
    let mut seeds: Vec<Vec<u8>> = more.to_vec();
    seeds.extend(
        files
            .flatten()
            .filter_map(|file| fs::read(file.path()).ok()),
    );
    assert!(!seeds.is_empty(), "{target} has no corpus");
    seeds.iter().for_each(|seed| law(seed));
    let asked = std::env::var(SECONDS)
        .ok()
        .and_then(|text| text.parse().ok());
    let until = Instant::now() + asked.map_or(SPAN, Duration::from_secs);
    let mut rounds = 0;
    while Instant::now() < until && (asked.is_some() || rounds < ROUNDS) {
        some_rounds(&seeds, words, law);
        rounds += ROUNDS / 10;
    }
}

fn some_rounds(seeds: &[Vec<u8>], words: &[&[u8]], law: fn(&[u8])) {
    let config = Config {
        cases: ROUNDS / 10,
        failure_persistence: None,
        ..Config::default()
    };
    let edited = edits().prop_map(|(seed, edits)| {
        let mut bytes = seed.get(seeds).clone();
        for edit in &edits {
            edit.apply(&mut bytes, seeds, words);
        }
        bytes
    });
    let tried = TestRunner::new(config).run(&edited, |bytes| {
        law(&bytes);
        Ok(())
    });
    tried.expect("the law holds");
}

fn edits() -> impl Strategy<Value = (Index, Vec<Edit>)> {
    (any::<Index>(), prop::collection::vec(edit(), 0..EDITS_MAX))
}

/// One change of some bytes.
#[derive(Clone, Debug)]
enum Edit {
    Cut(Index, usize),
    Put(Index, Vec<u8>),
    Flip(Index, u8),
    Copy(Index, usize, Index, usize),
    Splice(Index, Index, Index),
    Word(Index, usize, Index),
    End(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        2 => (at(), 1usize..40).prop_map(|(at, length)| Edit::Cut(at, length)),
        2 => (at(), prop::collection::vec(any::<u8>(), 1..4)).prop_map(|(at, put)| Edit::Put(at, put)),
        2 => (at(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => (at(), 1usize..40, at(), 1usize..64).prop_map(|(from, length, to, times)| Edit::Copy(from, length, to, times)),
        2 => (at(), at(), at()).prop_map(|(at, seed, from)| Edit::Splice(at, seed, from)),
        4 => (at(), 0usize..4, at()).prop_map(|(at, length, word)| Edit::Word(at, length, word)),
        1 => at().prop_map(Edit::End),
    ]
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&[u8]]) {
        let place = |at: &Index| at.index(bytes.len() + 1);
        let span = |at: &Index, length: &usize| place(at)..(place(at) + length).min(bytes.len());
        match self {
            Self::Cut(at, length) => drop(bytes.drain(span(at, length))),
            Self::Put(at, put) => drop(bytes.splice(place(at)..place(at), put.iter().copied())),
            Self::Flip(at, bit) => {
                let place = place(at);
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 1 << bit;
                }
            }
            Self::Copy(from, length, to, times) => {
                let copied = bytes[span(from, length)].repeat(*times);
                drop(bytes.splice(place(to)..place(to), copied));
            }
            Self::Splice(at, seed, from) => {
                let other = seed.get(seeds);
                let from = from.index(other.len() + 1);
                drop(bytes.splice(place(at).., other[from..].iter().copied()));
            }
            Self::Word(at, length, word) => {
                drop(bytes.splice(span(at, length), word.get(words).iter().copied()));
            }
            Self::End(at) => bytes.truncate(place(at)),
        }
        bytes.truncate(LEN_MAX);
    }
}

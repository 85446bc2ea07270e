//! libFuzzer on the layers of images; the law is in `crates/run/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_run::fuzzing::layers(bytes));

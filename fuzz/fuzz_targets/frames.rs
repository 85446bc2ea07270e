//! libFuzzer on the frames between our own processes; the law is in `crates/jail/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_jail::fuzzing::frames(bytes));

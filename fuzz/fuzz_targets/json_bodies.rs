//! libFuzzer on the JSON bodies of requests; the law is in `crates/server/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_server::fuzzing::json_bodies(bytes));

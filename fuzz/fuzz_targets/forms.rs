//! libFuzzer on the multipart form of the script API; the law is in `crates/server/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_server::fuzzing::forms(bytes));

//! libFuzzer on definitions of runtimes; the law is in `crates/core/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_core::fuzzing::runtime_definitions(bytes));

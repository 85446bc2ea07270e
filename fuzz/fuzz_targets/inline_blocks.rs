//! libFuzzer on inline metadata blocks; the law is in `crates/core/src/fuzzing.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_core::fuzzing::inline_blocks(bytes));

//! libFuzzer on rows of CSV; the law is in `crates/server/src/fuzzing/tables.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| strongroom_server::fuzzing::csv_tables(bytes));

//! libFuzzer's program for the target `name_query`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::name_query(bytes));

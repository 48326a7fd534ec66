//! libFuzzer's program for the target `key_history`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::key_history(bytes));

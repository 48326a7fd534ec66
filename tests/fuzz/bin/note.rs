//! libFuzzer's program for the target `note`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::note(bytes));

//! libFuzzer's program for the target `policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::policy(bytes));

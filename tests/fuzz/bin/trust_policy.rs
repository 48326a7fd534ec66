//! libFuzzer's program for the target `trust_policy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::trust_policy(bytes));

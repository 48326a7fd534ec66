//! libFuzzer's program for the target `proof`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::proof(bytes));

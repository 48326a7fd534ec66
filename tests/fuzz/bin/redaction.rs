//! libFuzzer's program for the target `redaction`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::redaction(bytes));

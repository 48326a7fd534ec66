//! libFuzzer's program for the target `envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::envelope(bytes));

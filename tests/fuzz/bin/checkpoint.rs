//! libFuzzer's program for the target `checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::checkpoint(bytes));

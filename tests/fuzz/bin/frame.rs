//! libFuzzer's program for the target `frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::frame(bytes));

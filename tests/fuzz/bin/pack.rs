//! libFuzzer's program for the target `pack`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::pack(bytes));

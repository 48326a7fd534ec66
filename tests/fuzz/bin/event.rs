//! libFuzzer's program for the target `event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::event(bytes));

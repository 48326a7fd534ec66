//! libFuzzer's program for the target `add_checkpoint`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::add_checkpoint(bytes));

//! libFuzzer's program for the target `init_message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::init_message(bytes));

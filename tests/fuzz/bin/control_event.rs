//! libFuzzer's program for the target `control_event`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| custody_fuzz::control_event(bytes));

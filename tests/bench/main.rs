//! Placeholder of the next minute.
fn main() {}

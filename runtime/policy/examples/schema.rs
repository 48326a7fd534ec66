//! Prints the JSON Schema of the policy document:
//! `cargo run -p custody-policy --example schema > runtime/policy/schema/policy.v1.schema.json`

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(custody_policy::json_schema().as_bytes())
}

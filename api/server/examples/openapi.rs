//! Prints the description of the API: `cargo run -p custody-api-server --example openapi > api/server/openapi.json`.

fn main() {
    print!("{}", custody_api_server::openapi::text());
}

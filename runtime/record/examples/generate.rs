//! Writes the committed golden vectors and JSON Schemas anew: `cargo run -p custody-record --example generate`.

#[path = "../tests/samples/mod.rs"]
mod samples;

fn main() -> std::io::Result<()> {
    for (path, bytes) in samples::generated() {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, bytes)?;
    }
    Ok(())
}

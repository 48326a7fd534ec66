//! The packages that read exports, where `make tools` installs them.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// A program of `make tools`.
pub(crate) fn tool(path: &str) -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let target = program.ancestors().nth(3).expect("it lies in <target>/<profile>/deps");
    let tool = target.join("tools").join(path);
    assert!(tool.is_file(), "{} is missing: run `make tools` first", tool.display());
    tool
}

/// Whether an export is what its format's people take, and what they counted; else what is wrong.
pub(crate) fn check(format: &str, export: &[u8]) -> Result<Value, String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("formats/validate.py");
    let mut child = Command::new(tool("formats/bin/python"))
        .args([script.as_os_str(), format.as_ref()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let given = export.to_vec();
    // It may say no before it has read all.
    let writing = std::thread::spawn(move || drop(stdin.write_all(&given)));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("the input was written");
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("counts"))
}

/// An export that has to be valid; what was counted.
pub(crate) fn valid(format: &str, export: &[u8]) -> Value {
    let counts = check(format, export).unwrap_or_else(|fault| panic!("{format}: {fault}"));
    println!("{format}: {counts}");
    counts
}

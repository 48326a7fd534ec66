//! What the API says of itself is what it does: schemathesis, a client that is driven by the OpenAPI document alone, finds
//! no answer that the document does not describe, and no error of the server.

use std::path::PathBuf;
use std::process::Command;

use crate::ground::Ground;

/// The client, where `make tools` installs it.
fn schemathesis() -> PathBuf {
    let program = std::env::current_exe().expect("the test program has a path");
    let target = program.ancestors().nth(3).expect("it lies in <target>/<profile>/deps");
    let client = target.join("tools/schemathesis/bin/schemathesis");
    assert!(client.is_file(), "{} is missing: run `make tools` first", client.display());
    client
}

/// What it counts as a failure, and why.
const CONFIGURATION: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../api/server/tests/schemathesis.toml");

/// Cases of each operation and kind: enough to find a wrong one by and by, few enough for every change.
const EXAMPLES: &str = "15";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_driven_by_the_document_alone_finds_no_failure() {
    let mut ground = Ground::new().await;
    let done = ground.create("cat README.md; echo x >>notes.txt").await.id;
    ground.until_over(done).await;
    let address = ground.address();
    let work = tempfile::tempdir().unwrap();
    let token = format!("Authorization: Bearer {}", ground.boss());
    let said = tokio::task::spawn_blocking(move || {
        Command::new(schemathesis())
            .args(["--config-file", CONFIGURATION])
            .args(["run", "--max-examples", EXAMPLES, "--seed", "20261125", "--no-color"])
            // A generated request may disable the very user who asks, or revoke the token.
            .args(["--exclude-operation-id", "user_disable"])
            .args(["--exclude-operation-id", "token_revoke"])
            // Endless, and a protocol of its own: the tests of the server's crate hold these.
            .args(["--exclude-operation-id", "session_stream"])
            .args(["--exclude-operation-id", "session_attach"])
            .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "60"])
            .args(["--header", &token])
            .arg(format!("{address}/openapi.json"))
            .current_dir(work.path())
            .output()
            .expect("schemathesis starts")
    });
    let said = said.await.unwrap();
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.contains("test cases generated") || text.contains("passed"), "{text}");
    ground.end();
}

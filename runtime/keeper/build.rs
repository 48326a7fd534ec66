//! Builds init for the machine that the keeper is built for, statically, so that the keeper can carry it.
//!
//! A build of its own: cargo can't give one package of a workspace other linker flags than the rest.

use std::env;
use std::path::PathBuf;
use std::process::Command;

/// Environment of the outer build that must not reach the inner one: its flags would end up in init, or (as clippy's
/// wrapper does) nothing would be built at all.
const OUTER: [&str; 9] = [
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET",
    "CARGO_BUILD_TARGET_DIR",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_MAKEFLAGS",
    "MAKEFLAGS",
];

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by the environment")]
fn var(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets {name} for build scripts"))
}

fn main() {
    let manifest = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(var("OUT_DIR"));
    let target = var("TARGET");
    let sources = manifest.join("init");
    for watched in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", sources.join(watched).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", manifest.join("../../Cargo.lock").display());

    let built = out.join("init");
    let mut cargo = Command::new(var("CARGO"));
    cargo.current_dir(&sources);
    for name in OUTER {
        cargo.env_remove(name);
    }
    let status = cargo
        .args(["build", "--quiet", "--locked", "--offline", "--profile", "init"])
        .args(["--package", "custody-init", "--bin", "custody-init"])
        .args(["--target", &target])
        .arg("--target-dir")
        .arg(&built)
        // Set for the target alone by `--target`: build scripts and macros are linked as usual.
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .status()
        .expect("cargo runs");
    assert!(status.success(), "init was not built: {status}");

    let image = built.join(&target).join("init").join("custody-init");
    println!("cargo::rustc-env=CUSTODY_INIT_IMAGE={}", image.display());
}

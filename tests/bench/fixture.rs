//! The repository that the workloads run in: five copies of a Debian package's sources (about 10,000 files), a Rust
//! crate without dependencies, and a Node.js project with sixty packages as tarballs, so that nothing needs a network.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Places;

/// Copies of the package's tree.
const COPIES: usize = 5;

/// The crate that is checked: one that Custody itself is built of, without dependencies of its own.
const CRATE: &str = "regex-syntax";

/// Packages of the Node.js project, and files of each.
const PACKAGES: usize = 60;
const FILES: usize = 20;

/// Makes the repository and returns its path.
pub(crate) fn make(places: &Places) -> Result<PathBuf, Box<dyn Error>> {
    let repository = places.work.join("repository");
    std::fs::create_dir_all(&repository)?;
    let package = places.work.join("package");
    // The demo's downloads are shared.
    let downloads = places.target.join("demo/downloads");
    run(Command::new(places.checkout.join("tests/e2e/demo/repository"))
        .arg(downloads)
        .arg(&package))?;
    std::fs::remove_dir_all(package.join(".git"))?;
    // What the built-in policy denies can't be packed and unpacked by every side.
    std::fs::remove_file(package.join(".env"))?;
    std::fs::remove_dir_all(package.join("secrets"))?;
    for number in 1..=COPIES {
        let copy = repository.join(format!("copy-{number}"));
        run(Command::new("cp").arg("-r").arg(&package).arg(copy))?;
    }
    rust(places, &repository.join("rust"))?;
    node(&repository.join("node"))?;
    std::fs::write(
        repository.join(".gitignore"),
        "node_modules\n/rust/target\n.npm-cache\n/out\n",
    )?;
    for arguments in [
        &["init", "--quiet", "--initial-branch=main"] as &[&str],
        &["config", "user.name", "Bench"],
        &["config", "user.email", "bench@example.org"],
        &["add", "--all", "--force"],
        &["commit", "--quiet", "--message", "What is measured"],
        &["repack", "-a", "-d", "--quiet"],
    ] {
        run(Command::new("git").current_dir(&repository).args(arguments))?;
    }
    Ok(repository)
}

fn rust(places: &Places, into: &Path) -> Result<(), Box<dyn Error>> {
    // One platform only: crates of others are not downloaded.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let metadata = Command::new("cargo")
        .current_dir(&places.checkout)
        .args(["metadata", "--format-version=1", "--filter-platform", &target])
        .output()?;
    if !metadata.status.success() {
        return Err(String::from_utf8_lossy(&metadata.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&metadata.stdout)?;
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == CRATE))
        .and_then(|package| package["manifest_path"].as_str())
        .ok_or(format!("{CRATE} is not among the dependencies"))?;
    std::fs::create_dir_all(into)?;
    let source = Path::new(manifest).parent().ok_or("no directory")?.join("src");
    run(Command::new("cp").arg("-r").arg(source).arg(into))?;
    let manifest = "[workspace]\n[package]\nname = \"checked\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\
        [features]\ndefault = [\"std\", \"unicode\"]\nstd = []\nunicode = [\"unicode-age\", \"unicode-bool\", \
        \"unicode-case\", \"unicode-gencat\", \"unicode-perl\", \"unicode-script\", \"unicode-segment\"]\n\
        unicode-age = []\nunicode-bool = []\nunicode-case = []\nunicode-gencat = []\nunicode-perl = []\n\
        unicode-script = []\nunicode-segment = []\narbitrary = []\n";
    std::fs::write(into.join("Cargo.toml"), manifest)?;
    run(Command::new("cargo").current_dir(into).args(["generate-lockfile", "--offline", "--quiet"]))
}

fn node(into: &Path) -> Result<(), Box<dyn Error>> {
    let tarballs = into.join("tarballs");
    std::fs::create_dir_all(&tarballs)?;
    let mut dependencies = Vec::new();
    for number in 1..=PACKAGES {
        let package = into.join("package");
        std::fs::create_dir_all(package.join("lib"))?;
        let name = format!("package-{number}");
        std::fs::write(
            package.join("package.json"),
            format!(r#"{{"name":"{name}","version":"1.0.0","main":"lib/0.js"}}"#),
        )?;
        for file in 0..FILES {
            let line = format!("exports.f{file} = () => '{name} {file}';\n");
            std::fs::write(package.join(format!("lib/{file}.js")), line.repeat(50))?;
        }
        let tarball = tarballs.join(format!("{name}.tgz"));
        run(Command::new("tar").current_dir(into).arg("-czf").arg(&tarball).arg("package"))?;
        std::fs::remove_dir_all(&package)?;
        dependencies.push(format!(r#""{name}":"file:tarballs/{name}.tgz""#));
    }
    let manifest = format!(
        r#"{{"name":"project","version":"1.0.0","dependencies":{{{}}}}}"#,
        dependencies.join(",")
    );
    std::fs::write(into.join("package.json"), manifest)?;
    let npm =
        ["install", "--package-lock-only", "--offline", "--no-audit", "--no-fund", "--silent"];
    let cache = into.join(".npm-cache");
    run(Command::new("npm").current_dir(into).args(npm).arg("--cache").arg(&cache))?;
    std::fs::remove_dir_all(cache)?;
    Ok(())
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<(), Box<dyn Error>> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into())
}

//! `custody session export`: a whole record, as evidence for elsewhere.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use custody_api_types::session::Session;
use custody_model::ErrorCode;
use serde_json::json;

use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

pub(super) fn export(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    file: Option<&Path>,
) -> Result<(), Failure> {
    let name = format!("{}.tar", session.id);
    let then = "unpacked with tar, `custody verify DIR` checks it";
    save(wire, session, file, &name, then, |out| download(server, session, out))
}

/// Saves what comes as a file that only its owner reads, whole or not at all; `-` is standard output.
pub(in crate::commands) fn save(
    wire: &Wire,
    session: &Session,
    file: Option<&Path>,
    name: &str,
    then: &str,
    bring: impl FnOnce(&mut (dyn Write + Send)) -> Result<u64, Failure>,
) -> Result<(), Failure> {
    if file == Some(Path::new("-")) {
        bring(&mut std::io::stdout())?;
        return Ok(());
    }
    let path = file.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = format!("{} can't be written", path.display());
    // What breaks off must not look like evidence.
    let mut new = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .explain(ErrorCode::Io, unwritable.clone())?;
    let bytes = bring(new.as_file_mut())?;
    new.persist(&path).explain(ErrorCode::Io, unwritable)?;
    let value = json!({ "session": session.id, "file": path, "bytes": bytes });
    output::result(wire.format, &value, || format!("{}: {bytes} bytes; {then}", path.display()))
}

/// Brings the record of a session here.
pub(in crate::commands) fn download(
    server: &Connection,
    session: &Session,
    to: &mut (dyn Write + Send),
) -> Result<u64, Failure> {
    server.wait(async { server.client().record(session.id).await?.write_to(to).await })
}

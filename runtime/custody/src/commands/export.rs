//! `custody export`: a record in the formats of others.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use custody_api_types::session::Session;
use custody_export::{Format, NOTES_REF, Note, Summary};
use custody_model::ErrorCode;
use custody_workspace::outputs::Identity;
use serde_json::json;

use super::session::named;
use crate::cli::ExportArgs;
use crate::connect::Connection;
use crate::failure::{Explain, Failure};
use crate::output;
use crate::wire::Wire;

/// Bytes at the end of an output in which its summary is looked for.
const END: usize = 256 << 10;

/// Longest export of notes, in bytes.
const MAX_NOTES: usize = 256 << 20;

/// Exports, or attaches notes.
pub fn run(wire: &Wire, args: &ExportArgs) -> Result<ExitCode, Failure> {
    if args.write.is_some() && args.format != Format::GitAi {
        let message = "--write attaches git notes: it goes with --format git-ai alone";
        return Err(Failure::new(ErrorCode::Usage, message));
    }
    let server = Connection::open(wire)?;
    let session = named(&server, &args.session)?;
    match (&args.write, args.file.as_deref()) {
        (Some(repository), _) => attach(wire, &server, &session, repository)?,
        (None, None) => print(&server, &session, args.format)?,
        (None, Some(file)) if file == Path::new("-") => print(&server, &session, args.format)?,
        (None, Some(file)) => save(wire, &server, &session, args.format, file)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Remembers how what it passes on ends.
struct Ending<W> {
    to: W,
    end: Vec<u8>,
}

impl<W: Write> Write for Ending<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.end.extend_from_slice(&bytes[..written]);
        if self.end.len() > 2 * END {
            self.end.drain(..self.end.len() - END);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn download(
    server: &Connection,
    session: &Session,
    format: Format,
    to: &mut (dyn Write + Send),
) -> Result<u64, Failure> {
    server.wait(async {
        server.client().export(session.id, format.as_str()).await?.write_to(to).await
    })
}

fn print(server: &Connection, session: &Session, format: Format) -> Result<(), Failure> {
    let mut out = Ending { to: io::stdout(), end: Vec::new() };
    download(server, session, format, &mut out)?;
    // Standard output is the export's alone.
    if let Some(summary) = Summary::found(&out.end) {
        eprintln!("custody: {}", summary.sentence());
    }
    Ok(())
}

fn save(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    format: Format,
    file: &Path,
) -> Result<(), Failure> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritable = format!("{} can't be written", file.display());
    // What breaks off must not look like an export.
    let mut new = tempfile::Builder::new()
        .prefix(".new-")
        .permissions(fs::Permissions::from_mode(0o600))
        .tempfile_in(dir)
        .explain(ErrorCode::Io, unwritable.clone())?;
    let mut out = Ending { to: new.as_file_mut(), end: Vec::new() };
    let bytes = download(server, session, format, &mut out)?;
    let summary = Summary::found(&out.end);
    new.persist(file).explain(ErrorCode::Io, unwritable)?;
    let value = json!({
        "session": session.id, "format": format, "version": format.version(), "file": file,
        "bytes": bytes, "summary": summary,
    });
    output::result(wire.format, &value, || {
        let said = summary
            .map_or_else(|| format!("{format} {}", format.version()), |summary| summary.sentence());
        format!("{}: {bytes} bytes; {said}", file.display())
    })
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Attached {
    Written,
    /// The same was there.
    Known,
    /// The commit has another note: a commit has at most one authorship log, and that of others is not replaced.
    Taken,
    /// The repository lacks the commit.
    Missing,
}

fn attach(
    wire: &Wire,
    server: &Connection,
    session: &Session,
    repository: &Path,
) -> Result<(), Failure> {
    let bytes = server.wait(async {
        let download = server.client().export(session.id, Format::GitAi.as_str()).await?;
        download.bytes(MAX_NOTES).await
    })?;
    let mut notes = Vec::new();
    for line in bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let note: Note = serde_json::from_slice(line)
            .explain(ErrorCode::Internal, "the server's answer is no note")?;
        notes.push(note);
    }
    let mut done = Vec::new();
    for Note { commit, note, .. } in &notes {
        done.push((commit, attach_one(repository, commit.as_str(), note)?));
    }
    let rows: Vec<_> =
        done.iter().map(|(commit, became)| json!({ "commit": commit, "note": became })).collect();
    let summary = notes.last().map(|note| &note.custody_export);
    let value = json!({
        "session": session.id, "repository": repository, "ref": NOTES_REF, "notes": rows,
        "summary": summary,
    });
    output::result(wire.format, &value, || {
        let mut page = String::new();
        for (commit, became) in &done {
            let said = match became {
                Attached::Written => "attached",
                Attached::Known => "was there already",
                Attached::Taken => "NOT attached: the commit has another note",
                Attached::Missing => "NOT attached: the repository lacks the commit",
            };
            page.push_str(&format!("{commit}  {said}\n"));
        }
        match summary {
            Some(summary) => page.push_str(&summary.sentence()),
            None => page.push_str("the session left no commit whose lines can be told"),
        }
        page
    })
}

fn attach_one(repository: &Path, commit: &str, note: &str) -> Result<Attached, Failure> {
    let (there, _) = git(repository, &["cat-file", "-e", &format!("{commit}^{{commit}}")], b"")?;
    if !there {
        return Ok(Attached::Missing);
    }
    let notes = format!("--ref={NOTES_REF}");
    let (has, present) = git(repository, &["notes", &notes, "show", commit], b"")?;
    if has {
        let same = present == note.as_bytes();
        return Ok(if same { Attached::Known } else { Attached::Taken });
    }
    // As a blob, so that git takes the bytes as they are.
    let failed = |what: &str| Failure::new(ErrorCode::Io, format!("git {what} failed"));
    let (hashed, blob) = git(repository, &["hash-object", "-w", "--stdin"], note.as_bytes())?;
    if !hashed {
        return Err(failed("hash-object"));
    }
    let blob = String::from_utf8_lossy(&blob).trim().to_owned();
    let (added, _) = git(repository, &["notes", &notes, "add", "-C", &blob, commit], b"")?;
    if added { Ok(Attached::Written) } else { Err(failed("notes add")) }
}

/// Whether git said yes, and what else it said.
fn git(repository: &Path, words: &[&str], input: &[u8]) -> Result<(bool, Vec<u8>), Failure> {
    let failed = format!("git {} could not be run", words[0]);
    let Identity { name, email } = Identity::custody();
    let mut command = Command::new("git");
    command.arg("-C").arg(repository).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), &name).env(format!("GIT_{who}_EMAIL"), &email);
    }
    let mut child = command.spawn().explain(ErrorCode::EnvironmentLacks, failed.clone())?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input).explain(ErrorCode::Io, failed.clone())?;
    }
    let output = child.wait_with_output().explain(ErrorCode::Io, failed)?;
    Ok((output.status.success(), output.stdout))
}

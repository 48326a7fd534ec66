//! The objects of OCSF that several classes share.

use custody_model::{Actor, SessionId, UserName, WorkspacePath};
use custody_record::Event;
use custody_record::event::{FileKind, FileRead};
use serde_json::{Value, json};

/// Where workspaces are mounted in sandboxes.
const WORKSPACE: &str = "/workspace";

/// The sandbox.
pub(super) fn device(session: SessionId) -> Value {
    json!({ "type_id": 6, "type": "Virtual", "name": "sandbox", "uid": session })
}

pub(super) fn user(name: &UserName) -> Value {
    json!({ "name": name })
}

/// Who did it, and for whom.
pub(super) fn actor(event: &Event) -> Value {
    let mut actor = json!({ "session": { "uid": event.session } });
    if let Some(requester) = &event.on_behalf_of {
        actor["user"] = user(requester);
    }
    match &event.actor {
        Actor::User { name } => actor["user"] = user(name),
        Actor::Process(process) => {
            actor["process"] = json!({ "pid": process.pid });
            if let Some(image) = process.image {
                actor["process"]["uid"] = json!(image.0.to_string());
            }
        }
        Actor::Keeper => actor["app_name"] = json!("custody keeper"),
        Actor::Server => actor["app_name"] = json!("custody server"),
    }
    actor
}

/// `type_id` of a file and its caption.
fn kind(kind: FileKind) -> (u32, &'static str) {
    match kind {
        FileKind::File => (1, "Regular File"),
        FileKind::Directory => (2, "Folder"),
        FileKind::Symlink => (7, "Symbolic Link"),
        FileKind::Other => (99, "Other"),
    }
}

/// A file of the workspace with what is known of its content.
pub(super) fn file(
    path: &WorkspacePath,
    of_kind: Option<FileKind>,
    read: Option<&FileRead>,
) -> Value {
    let text = path.to_text();
    let full = if path.is_root() { WORKSPACE.to_owned() } else { format!("{WORKSPACE}/{text}") };
    named(&full, of_kind, read)
}

/// A file outside of the workspace, by its absolute path.
pub(super) fn outside_file(path: &str, of_kind: FileKind, read: Option<&FileRead>) -> Value {
    named(path, Some(of_kind), read)
}

fn named(full: &str, of_kind: Option<FileKind>, read: Option<&FileRead>) -> Value {
    let (type_id, type_name) = of_kind.map_or((0, "Unknown"), kind);
    let mut file = json!({
        "name": full.rsplit('/').next().unwrap_or(full),
        "path": full,
        "type_id": type_id,
        "type": type_name,
    });
    let Some(read) = read else { return file };
    if let Some(size) = read.size {
        file["size"] = json!(size);
    }
    let mut hashes = Vec::new();
    if let Some(digest) = &read.digest {
        hashes.push(json!({ "algorithm_id": 3, "algorithm": "SHA-256", "value": digest.hex() }));
    }
    if let Some(blob) = &read.git_blob {
        // Git hashes a header with the content.
        hashes.push(json!({ "algorithm_id": 99, "algorithm": "git blob", "value": blob }));
    }
    if !hashes.is_empty() {
        file["hashes"] = json!(hashes);
    }
    file
}

/// A program's file, outside of the workspace or in it.
pub(super) fn program(path: &str) -> Value {
    let name = path.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path);
    json!({ "name": name, "path": path, "type_id": 1, "type": "Regular File" })
}

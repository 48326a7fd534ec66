//! File System Activity (1001).

use custody_record::event::{
    Access, AttributesChanged, FileDenied, FileKind, FileLinked, FileOpened, FileOutside,
    FileRemoved, FileRenamed, FileReopened, FileSymlinked, FileWritten, Operation,
};
use serde_json::json;

use super::Mapped;
use super::class::Activity;
use super::object::{file, outside_file};

fn activity(access: Access) -> Activity {
    match access {
        // As [`custody_record::event::Deed`] reads it: to run a file takes its content.
        Access::Read | Access::Execute => Activity::ReadFile,
        Access::Write => Activity::OpenFile,
    }
}

pub(super) fn opened(opened: &FileOpened) -> Mapped {
    let file = file(&opened.path, Some(opened.kind), Some(&opened.content));
    Mapped::new(activity(opened.access), json!({ "file": file, "count": 1 }))
}

pub(super) fn reopened(reopened: &FileReopened) -> Mapped {
    let file = file(&reopened.path, None, None);
    Mapped::new(activity(reopened.access), json!({ "file": file, "count": reopened.count }))
}

pub(super) fn written(written: &FileWritten) -> Mapped {
    let after = file(&written.path, Some(written.kind), Some(&written.after));
    match &written.before {
        Some(before) => {
            let before = file(&written.path, Some(written.kind), Some(before));
            Mapped::new(Activity::UpdateFile, json!({ "file": before, "file_result": after }))
        }
        None => Mapped::new(Activity::CreateFile, json!({ "file": after })),
    }
}

pub(super) fn renamed(renamed: &FileRenamed) -> Mapped {
    let from = file(&renamed.from, Some(renamed.kind), None);
    let to = file(&renamed.to, Some(renamed.kind), None);
    Mapped::new(Activity::RenameFile, json!({ "file": from, "file_result": to }))
}

pub(super) fn removed(removed: &FileRemoved) -> Mapped {
    let file = file(&removed.path, Some(removed.kind), removed.before.as_ref());
    Mapped::new(Activity::DeleteFile, json!({ "file": file }))
}

pub(super) fn linked(linked: &FileLinked) -> Mapped {
    let file = file(&linked.path, Some(FileKind::File), None);
    Mapped::new(Activity::CreateFile, json!({ "file": file, "message": "a hard link" }))
}

pub(super) fn symlinked(symlinked: &FileSymlinked) -> Mapped {
    let file = file(&symlinked.path, Some(FileKind::Symlink), None);
    Mapped::new(Activity::CreateFile, json!({ "file": file }))
}

pub(super) fn changed(changed: &AttributesChanged) -> Mapped {
    let file = file(&changed.path, None, None);
    Mapped::new(Activity::SetAttributes, json!({ "file": file }))
}

/// The activity that an operation is.
fn activity_of(operation: Operation) -> Activity {
    match operation {
        Operation::Read | Operation::List | Operation::Readlink => Activity::ReadFile,
        Operation::Open | Operation::Lookup | Operation::Execute => Activity::OpenFile,
        Operation::Stat | Operation::Getxattr | Operation::Listxattr => Activity::GetAttributes,
        Operation::Write | Operation::Truncate => Activity::UpdateFile,
        Operation::Create
        | Operation::Mkdir
        | Operation::Mknod
        | Operation::Symlink
        | Operation::Link => Activity::CreateFile,
        Operation::Rename => Activity::RenameFile,
        Operation::Unlink | Operation::Rmdir => Activity::DeleteFile,
        Operation::Chmod
        | Operation::Chown
        | Operation::Utimens
        | Operation::Setxattr
        | Operation::Setattr
        | Operation::Removexattr => Activity::SetAttributes,
    }
}

pub(super) fn outside(outside: &FileOutside) -> Mapped {
    let file = outside_file(&outside.path, outside.kind, outside.content.as_ref());
    let members = match &outside.target {
        Some(target) if outside.operation == Operation::Rename => {
            json!({ "file": file, "file_result": outside_file(target, outside.kind, None) })
        }
        Some(_) | None => json!({ "file": file }),
    };
    Mapped::new(activity_of(outside.operation), members)
}

pub(super) fn denied(denied: &FileDenied) -> Mapped {
    let activity = activity_of(denied.operation);
    let members = json!({
        "file": file(&denied.path, None, None),
        "count": denied.count,
        "status_code": denied.errno,
        "status_detail": format!("rule {}", denied.rule),
    });
    Mapped::new(activity, members).denied()
}

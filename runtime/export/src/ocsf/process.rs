//! Process Activity (1007).

use custody_record::event::{ExitStatus, ProcessExecuted, ProcessExited};
use serde_json::json;

use super::Mapped;
use super::class::Activity;
use super::object::program;

/// `launch_type_id` of `execve`.
const EXEC: u32 = 3;

pub(super) fn executed(executed: &ProcessExecuted) -> Mapped {
    let file = program(&executed.exe);
    let mut process = json!({
        "pid": executed.pid,
        "uid": executed.image.0.to_string(),
        "name": file["name"],
        "path": executed.exe,
        "file": file,
        "cmd_line": executed.argv.join(" "),
    });
    if let Some(cwd) = &executed.cwd {
        process["working_directory"] = json!(cwd);
    }
    if let Some(parent) = executed.parent {
        process["parent_process"] = json!({ "pid": parent });
        if let Some(image) = executed.parent_image {
            process["parent_process"]["uid"] = json!(image.0.to_string());
        }
    }
    let mut members = json!({ "process": process, "launch_type_id": EXEC, "launch_type": "Exec" });
    if let Some(errno) = &executed.failed {
        members["status_id"] = json!(2);
        members["status"] = json!("Failure");
        members["status_code"] = json!(errno);
    }
    if let Some(corrects) = executed.corrects {
        members["message"] = json!(format!("what ran as image {} was another file", corrects.0));
    }
    Mapped::new(Activity::Launch, members)
}

pub(super) fn exited(exited: &ProcessExited) -> Mapped {
    let mut process = json!({ "pid": exited.pid });
    if let Some(image) = exited.image {
        process["uid"] = json!(image.0.to_string());
    }
    let mut members = json!({ "process": process });
    match exited.status {
        Some(ExitStatus::Code(code)) => members["exit_code"] = json!(code),
        Some(ExitStatus::Signal(signal)) => {
            // As a shell would say it.
            members["exit_code"] = json!(128 + u32::from(signal));
            members["message"] = json!(format!("ended by signal {signal}"));
        }
        None => {}
    }
    Mapped::new(Activity::Terminate, members)
}

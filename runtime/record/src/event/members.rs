//! The canonical form of every type that an event is made of: its members in the order in which they stand.

use std::collections::BTreeMap;

use custody_model::{Actor, LimitName, Limits, ProcessRef};

use super::form::{Cursor, Form, write_string};
use super::{
    Access, AttributesChanged, BaseSubmodule, BlobRef, ChangeStatus, ChangedFile, ClosingCode,
    CommitAuthor, CommitCreated, Coverage, CreatedRef, CreatedSubmodule, Decision, Difference,
    DifferenceKind, EgressDenied, EgressVia, ExitStatus, FileDenied, FileKind, FileLinked,
    FileOpened, FileOutside, FileRead, FileRemoved, FileRenamed, FileReopened, FileSymlinked,
    FileWritten, Gap, GapCode, GapSource, HistoryRead, Operation, Outcome, OutsidePlace, PauseCode,
    PolicyDecided, PolicyViolated, ProcessExecuted, ProcessExited, RecorderDegraded,
    RecorderRestored, Redaction, RedactionApplied, RequestedSession, SessionAuthorized,
    SessionClosed, SessionPaused, SessionProvisioned, SessionResumed, SessionStarted, StoredBlob,
    TerminalRecorded, Transport, Uncertain, Unhashed, WholeList, WorkspaceCompared,
};
use crate::canonical::CanonicalError;

impl<T: Form> Form for Option<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match self {
            Some(value) => value.write(out),
            None => {
                out.extend_from_slice(b"null");
                Ok(())
            }
        }
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        if input.take("null") { Some(None) } else { T::read(input).map(Some) }
    }
}

impl<T: Form> Form for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        out.push(b'[');
        for (i, value) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            value.write(out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.expect("[")?;
        let mut values = Self::new();
        if input.take("]") {
            return Some(values);
        }
        loop {
            values.push(T::read(input)?);
            if input.take("]") {
                return Some(values);
            }
            input.expect(",")?;
        }
    }
}

/// Keys stand in the order of their UTF-16 code units (RFC 8785, section 3.2.3).
fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

impl<T: Form> Form for BTreeMap<String, T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        let mut members: Vec<(&String, &T)> = self.iter().collect();
        members.sort_by(|(a, _), (b, _)| key_order(a, b));
        out.push(b'{');
        for (i, (key, value)) in members.into_iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            write_string(out, key);
            out.push(b':');
            value.write(out)?;
        }
        out.push(b'}');
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        input.expect("{")?;
        let mut map = Self::new();
        if input.take("}") {
            return Some(map);
        }
        let mut before: Option<String> = None;
        loop {
            let key = String::read(input)?;
            if before.is_some_and(|before| key_order(&before, &key).is_ge()) {
                return None;
            }
            input.expect(":")?;
            map.insert(key.clone(), T::read(input)?);
            before = Some(key);
            if input.take("}") {
                return Some(map);
            }
            input.expect(",")?;
        }
    }
}

/// Passes over `,"key":`, or over `"key":` where it is the first member of its object.
fn take_key(input: &mut Cursor<'_>, first: &mut bool, key: &'static str) -> bool {
    let found = input.take(if *first { &key[1..] } else { key });
    *first &= !found;
    found
}

/// Ends an object whose members each have a comma after them.
fn close(out: &mut Vec<u8>) {
    match out.last_mut() {
        Some(last) if *last == b',' => *last = b'}',
        _ => out.push(b'}'),
    }
}

macro_rules! write_member {
    (must, $out:ident, $field:ident) => {{
        $out.extend_from_slice(concat!("\"", stringify!($field), "\":").as_bytes());
        $field.write($out)?;
        $out.push(b',');
    }};
    (may, $out:ident, $field:ident) => {
        if let Some($field) = $field {
            write_member!(must, $out, $field);
        }
    };
    (flag, $out:ident, $field:ident) => {
        if *$field {
            write_member!(must, $out, $field);
        }
    };
}

macro_rules! read_member {
    (must, $input:ident, $found:ident) => {
        if $found { Form::read($input)? } else { return None }
    };
    (may, $input:ident, $found:ident) => {
        if $found { Some(Form::read($input)?) } else { None }
    };
    (flag, $input:ident, $found:ident) => {
        $found && $input.expect("true").map(|()| true)?
    };
}

/// Members in canonical order. `must`: always there. `may`: absent if there is no value. `flag`: absent if false.
macro_rules! objects {
    ($($type:ident { $($kind:ident $field:ident),* $(,)? })*) => {
        $(impl Form for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                let Self { $($field),* } = self;
                out.push(b'{');
                $(write_member!($kind, out, $field);)*
                close(out);
                Ok(())
            }

            fn read(input: &mut Cursor<'_>) -> Option<Self> {
                input.expect("{")?;
                let mut first = true;
                $(
                    let found = take_key(input, &mut first, concat!(",\"", stringify!($field), "\":"));
                    let $field = read_member!($kind, input, found);
                )*
                input.expect("}")?;
                Some(Self { $($field),* })
            }
        })*

        #[cfg(test)]
        pub(super) const MEMBERS: &[&[&str]] = &[$(&[$(stringify!($field)),*]),*];
    };
}

objects! {
    BlobRef { must digest, must media_type, must role, must size, may stored }
    StoredBlob { must digest, must name }
    WholeList { must bytes, must count, must digest }
    Limits {
        may cpu_millicores, may disk_bytes, may idle_seconds, may memory_bytes, may processes,
        may wall_seconds,
    }
    ProcessRef { may image, must pid }
    FileRead { may digest, may git_blob, may size }
    FileOpened { must access, must content, must kind, must path, may uncertain }
    FileReopened { must access, must count, must path }
    FileWritten { must after, may before, must kind, flag open, must path, may uncertain }
    FileRenamed { flag exchanged, must from, must kind, may replaced, must to, may uncertain }
    FileRemoved { may before, must kind, must path, may uncertain }
    FileLinked { must path, may target, may uncertain }
    FileSymlinked { must path, must target, may uncertain }
    AttributesChanged { may mode, must path, may uncertain, may xattr }
    FileDenied {
        must count, must errno, may object, must operation, must path, must rule, may target,
    }
    HistoryRead { may commit, flag inferred, may object, may path }
    FileOutside {
        may content, flag exchanged, may history, must kind, flag open, must operation, must path, must place,
        may target, may uncertain, may unhashed,
    }
    ProcessExecuted {
        must argv, flag argv_cut, may argv_whole, may corrects, may cwd, must exe, may failed, may file, must image,
        may parent, may parent_image, must pid, may tried,
    }
    ProcessExited { may image, must pid, may status }
    EgressDenied {
        may address, may host, may port, must reason, may request, must transport, must via,
    }
    RequestedSession {
        must base_commit, must base_tree, must command, may command_whole, must dirty,
        must environment, may environment_whole, must image, must limits, must repository, must strict,
    }
    SessionAuthorized { must approvers, must policy_name, must request, must requester, must rule }
    SessionProvisioned {
        must driver, must guards, may history_cuts, must init, must kernel, must mediation,
        may mediation_reason, must protections, may submodule_count, may submodules,
    }
    BaseSubmodule { may absent, must commit, must path }
    SessionStarted { must command, may command_whole, must cwd, must terminal }
    SessionPaused { may code, must reason }
    SessionResumed { must paused_micros }
    SessionClosed {
        may code, must counts, must coverage, may exit, may limit, must outcome, must reason,
    }
    PolicyDecided { must action, must decision, must reason, must rule }
    PolicyViolated { must path, must rule, must what }
    TerminalRecorded { must cut_bytes, must input_bytes, must output_bytes }
    Difference { may found, must kind, must path }
    WorkspaceCompared { must difference_count, must differences, must entries }
    ChangedFile { may blob, may digest, must path, must status }
    CommitCreated {
        must author, must branch, must commit, must file_count, must files, must parents, may refs,
        may submodule, may submodules, must tree,
    }
    CreatedSubmodule { must base, may branch, must commit, must path, may refs }
    CreatedRef { must inside, must name, must object }
    Redaction { may blob, must digest, must kind, may length, may offset, may pointer }
    RedactionApplied { must count, may event, must redactions }
    RecorderDegraded { must durable, must error, must step }
    RecorderRestored { must attempts, must since, must waited }
    Gap { may code, may from, may process, must reason, must source, may until }
}

macro_rules! names {
    ($($type:ident { $($name:literal $variant:ident),* $(,)? })*) => {
        $(impl Form for $type {
            fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
                out.extend_from_slice(match self {
                    $(Self::$variant => concat!("\"", $name, "\"").as_bytes(),)*
                });
                Ok(())
            }

            fn read(input: &mut Cursor<'_>) -> Option<Self> {
                match &*input.string()? {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        })*

        /// Every value of every type, in the spelling of this module and in that of serde.
        #[cfg(test)]
        pub(super) fn spellings() -> Vec<(&'static str, String)> {
            vec![$($(($name, serde_json::to_value($type::$variant).unwrap().as_str().unwrap().to_owned()),)*)*]
        }
    };
}

names! {
    FileKind { "file" File, "directory" Directory, "symlink" Symlink, "other" Other }
    Uncertain { "path" Path, "content" Content, "path_and_content" PathAndContent }
    Access { "read" Read, "execute" Execute, "write" Write }
    Operation {
        "lookup" Lookup, "stat" Stat, "open" Open, "list" List, "read" Read, "write" Write,
        "create" Create, "mkdir" Mkdir, "mknod" Mknod, "symlink" Symlink, "link" Link,
        "rename" Rename, "unlink" Unlink, "rmdir" Rmdir, "chmod" Chmod, "chown" Chown,
        "utimens" Utimens, "truncate" Truncate, "setxattr" Setxattr, "getxattr" Getxattr,
        "listxattr" Listxattr, "removexattr" Removexattr, "readlink" Readlink, "execute" Execute,
        "setattr" Setattr,
    }
    Unhashed { "too_large" TooLarge, "end_limit" EndLimit }
    OutsidePlace { "scratch" Scratch, "image" Image, "git_objects" GitObjects }
    EgressVia { "connect" Connect, "send" Send, "proxy" Proxy, "dns" Dns }
    Transport { "tcp" Tcp, "udp" Udp, "other" Other }
    ClosingCode {
        "command_ended" CommandEnded, "command_not_run" CommandNotRun, "sandbox_lost" SandboxLost,
        "asked" Asked, "limit_reached" LimitReached, "keeper_terminated" KeeperTerminated,
        "record_unwritable" RecordUnwritable, "refused" Refused, "not_provisioned" NotProvisioned,
        "step_failed" StepFailed,
        "recording_failed" RecordingFailed, "outputs_failed" OutputsFailed,
        "keeper_died" KeeperDied, "keeper_gave_up" KeeperGaveUp,
    }
    GapCode {
        "keeper_lost" KeeperLost, "event_too_long" EventTooLong,
        "files_unobserved" FilesUnobserved, "objects_unobserved" ObjectsUnobserved, "not_compared" NotCompared, "diff_cut" DiffCut,
        "notices_lost" NoticesLost, "process_unreadable" ProcessUnreadable,
        "executable_unknown" ExecutableUnknown, "lifetimes_lost" LifetimesLost,
        "relay_failed" RelayFailed, "name_server_failed" NameServerFailed,
    }
    PauseCode { "backlog" Backlog, "record_unwritable" RecordUnwritable }
    LimitName {
        "cpu_millicores" CpuMillicores, "memory_bytes" MemoryBytes, "processes" Processes,
        "disk_bytes" DiskBytes, "wall_seconds" WallSeconds, "idle_seconds" IdleSeconds,
        "limit" Untold,
    }
    Outcome {
        "completed" Completed, "stopped" Stopped, "refused" Refused, "failed" Failed,
        "interrupted" Interrupted,
    }
    Coverage { "complete" Complete, "partial" Partial, "gaps" Gaps, "absent" Absent }
    Decision { "allow" Allow, "deny" Deny, "needs_approval" NeedsApproval }
    DifferenceKind { "unrecorded" Unrecorded, "missing" Missing, "differs" Differs }
    CommitAuthor { "agent" Agent, "custody" Custody }
    ChangeStatus { "added" Added, "modified" Modified, "deleted" Deleted }
    GapSource {
        "files" Files, "processes" Processes, "network" Network, "terminal" Terminal,
        "keeper" Keeper, "scratch" Scratch, "image" Image,
    }
}

impl Form for ExitStatus {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        let (key, number) = match self {
            Self::Code(number) => (r#"{"code":"#, number),
            Self::Signal(number) => (r#"{"signal":"#, number),
        };
        out.extend_from_slice(key.as_bytes());
        number.write(out)?;
        out.push(b'}');
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        let variant = if input.take(r#"{"code":"#) {
            Self::Code
        } else {
            input.expect(r#"{"signal":"#)?;
            Self::Signal
        };
        let status = variant(u8::read(input)?);
        input.expect("}")?;
        Some(status)
    }
}

impl Form for Actor {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match self {
            Self::User { name } => {
                out.extend_from_slice(br#"{"kind":"user","name":"#);
                name.write(out)?;
                out.push(b'}');
            }
            Self::Process(ProcessRef { image, pid }) => {
                out.push(b'{');
                write_member!(may, out, image);
                out.extend_from_slice(br#""kind":"process","#);
                write_member!(must, out, pid);
                close(out);
            }
            Self::Keeper => out.extend_from_slice(br#"{"kind":"keeper"}"#),
            Self::Server => out.extend_from_slice(br#"{"kind":"server"}"#),
        }
        Ok(())
    }

    fn read(input: &mut Cursor<'_>) -> Option<Self> {
        if input.take(r#"{"kind":"keeper"}"#) {
            return Some(Self::Keeper);
        }
        if input.take(r#"{"kind":"server"}"#) {
            return Some(Self::Server);
        }
        let actor = if input.take(r#"{"kind":"user","name":"#) {
            Self::User { name: Form::read(input)? }
        } else {
            let image = match input.take(r#"{"image":"#) {
                true => {
                    let image = Form::read(input)?;
                    input.expect(r#",""#)?;
                    Some(image)
                }
                false => {
                    input.expect(r#"{""#)?;
                    None
                }
            };
            input.expect(r#"kind":"process","pid":"#)?;
            Self::Process(ProcessRef { image, pid: Form::read(input)? })
        };
        input.expect("}")?;
        Some(actor)
    }
}

//! The classes of OCSF 1.8.0 that are written, and their activities.

use serde_json::{Map, Value, json};

/// A class of events by its name in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Base,
    File,
    Process,
    Finding,
    AuthorizeSession,
    Network,
    Http,
    Dns,
    Application,
    ApplicationError,
}

impl Class {
    /// `class_uid`; its thousands are the category.
    const fn uid(self) -> u32 {
        match self {
            Self::Base => 0,
            Self::File => 1001,
            Self::Process => 1007,
            Self::Finding => 2004,
            Self::AuthorizeSession => 3003,
            Self::Network => 4001,
            Self::Http => 4002,
            Self::Dns => 4003,
            Self::Application => 6002,
            Self::ApplicationError => 6008,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Base => "Base Event",
            Self::File => "File System Activity",
            Self::Process => "Process Activity",
            Self::Finding => "Detection Finding",
            Self::AuthorizeSession => "Authorize Session",
            Self::Network => "Network Activity",
            Self::Http => "HTTP Activity",
            Self::Dns => "DNS Activity",
            Self::Application => "Application Lifecycle",
            Self::ApplicationError => "Application Error",
        }
    }

    /// With the profile Host every class but these has one.
    pub(super) const fn has_actor(self) -> bool {
        !matches!(self, Self::Base)
    }
}

/// What was done, by the class that tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    CreateFile,
    ReadFile,
    UpdateFile,
    DeleteFile,
    RenameFile,
    SetAttributes,
    GetAttributes,
    OpenFile,
    Launch,
    Terminate,
    Finding,
    AssignPrivileges,
    Decide,
    Refuse,
    Http(HttpMethod),
    DnsQuery,
    Start,
    Stop,
    Provision,
    Pause,
    Resume,
    Error,
    Export,
}

/// The methods that HTTP Activity knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HttpMethod {
    Connect,
    Delete,
    Get,
    Head,
    Options,
    Post,
    Put,
    Trace,
    Patch,
    Other,
}

impl HttpMethod {
    pub(super) fn of(text: &str) -> Self {
        match text {
            "CONNECT" => Self::Connect,
            "DELETE" => Self::Delete,
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "OPTIONS" => Self::Options,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "TRACE" => Self::Trace,
            "PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    const fn activity(self) -> (u32, &'static str) {
        match self {
            Self::Connect => (1, "Connect"),
            Self::Delete => (2, "Delete"),
            Self::Get => (3, "Get"),
            Self::Head => (4, "Head"),
            Self::Options => (5, "Options"),
            Self::Post => (6, "Post"),
            Self::Put => (7, "Put"),
            Self::Trace => (8, "Trace"),
            Self::Patch => (9, "Patch"),
            Self::Other => (99, "Other method"),
        }
    }
}

impl Activity {
    pub(super) const fn class(self) -> Class {
        match self {
            Self::CreateFile
            | Self::ReadFile
            | Self::UpdateFile
            | Self::DeleteFile
            | Self::RenameFile
            | Self::SetAttributes
            | Self::GetAttributes
            | Self::OpenFile => Class::File,
            Self::Launch | Self::Terminate => Class::Process,
            Self::Finding => Class::Finding,
            Self::AssignPrivileges | Self::Decide => Class::AuthorizeSession,
            Self::Refuse => Class::Network,
            Self::Http(_) => Class::Http,
            Self::DnsQuery => Class::Dns,
            Self::Start | Self::Stop | Self::Provision | Self::Pause | Self::Resume => {
                Class::Application
            }
            Self::Error => Class::ApplicationError,
            Self::Export => Class::Base,
        }
    }

    /// `activity_id` and its caption; 99 is what the class has no number for.
    const fn id(self) -> (u32, &'static str) {
        match self {
            Self::CreateFile => (1, "Create"),
            Self::ReadFile => (2, "Read"),
            Self::UpdateFile => (3, "Update"),
            Self::DeleteFile => (4, "Delete"),
            Self::RenameFile => (5, "Rename"),
            Self::SetAttributes => (6, "Set Attributes"),
            Self::GetAttributes => (8, "Get Attributes"),
            Self::OpenFile => (14, "Open"),
            Self::Launch => (1, "Launch"),
            Self::Terminate => (2, "Terminate"),
            Self::Finding => (1, "Create"),
            Self::AssignPrivileges => (1, "Assign Privileges"),
            Self::Decide => (99, "Decide"),
            Self::Refuse => (5, "Refuse"),
            Self::Http(method) => method.activity(),
            Self::DnsQuery => (1, "Query"),
            Self::Start => (3, "Start"),
            Self::Stop => (4, "Stop"),
            Self::Provision => (99, "Provision"),
            Self::Pause => (99, "Pause"),
            Self::Resume => (99, "Resume"),
            Self::Error => (1, "General Error"),
            Self::Export => (99, "Export"),
        }
    }

    pub(super) fn members(self) -> Map<String, Value> {
        let class = self.class();
        let (id, name) = self.id();
        let uid = class.uid();
        [
            ("activity_id", json!(id)),
            ("activity_name", json!(name)),
            ("category_uid", json!(uid / 1000)),
            ("class_uid", json!(uid)),
            ("class_name", json!(class.name())),
            ("type_uid", json!(u64::from(uid) * 100 + u64::from(id))),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    Informational,
    Medium,
    High,
}

impl Severity {
    pub(super) fn members(self) -> Map<String, Value> {
        let (id, name) = match self {
            Self::Informational => (1, "Informational"),
            Self::Medium => (3, "Medium"),
            Self::High => (4, "High"),
        };
        [("severity_id", json!(id)), ("severity", json!(name))]
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect()
    }
}

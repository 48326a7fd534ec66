//! A record as the tests ask it: typed events, and the questions that promises are made of.

use custody_model::{Actor, ProcessRef};
use custody_record::event::{
    Access, Body, CommitCreated, EgressDenied, Event, FileDenied, FileOpened, FileWritten,
    ProcessExecuted, SessionClosed,
};

/// The events of one session, in order.
#[derive(Debug)]
pub struct Record {
    events: Vec<Event>,
}

impl Record {
    /// From JSON lines.
    ///
    /// # Panics
    /// If a line is no event of version 1, or the events are not numbered from 0 without holes: every record is
    /// checked for that wherever it is read.
    #[must_use]
    pub fn parse(lines: &str) -> Self {
        let events: Vec<Event> = lines
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
            })
            .collect();
        for (place, event) in (0_u64..).zip(&events) {
            assert_eq!(event.seq, place, "events are numbered without holes");
        }
        Self { events }
    }

    /// All of them.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Those that `pick` takes, each with its event.
    pub fn all<'a, T: 'a>(
        &'a self,
        pick: impl Fn(&'a Body) -> Option<&'a T> + 'a,
    ) -> impl Iterator<Item = (&'a Event, &'a T)> + 'a {
        self.events.iter().filter_map(move |event| Some((event, pick(&event.body)?)))
    }

    /// Every first opening of a file.
    pub fn opened(&self) -> impl Iterator<Item = (&Event, &FileOpened)> {
        self.all(|body| if let Body::FileOpened(data) = body { Some(data) } else { None })
    }

    /// Every version of a file that came to be.
    pub fn written(&self) -> impl Iterator<Item = (&Event, &FileWritten)> {
        self.all(|body| if let Body::FileWritten(data) = body { Some(data) } else { None })
    }

    /// Every refused access to a file.
    pub fn denied(&self) -> impl Iterator<Item = (&Event, &FileDenied)> {
        self.all(|body| if let Body::FileDenied(data) = body { Some(data) } else { None })
    }

    /// Every refused attempt to reach something outside.
    pub fn egress(&self) -> impl Iterator<Item = (&Event, &EgressDenied)> {
        self.all(|body| if let Body::EgressDenied(data) = body { Some(data) } else { None })
    }

    /// Every exec.
    pub fn executed(&self) -> impl Iterator<Item = (&Event, &ProcessExecuted)> {
        self.all(|body| if let Body::ProcessExecuted(data) = body { Some(data) } else { None })
    }

    /// Every commit of the session's branch.
    pub fn commits(&self) -> impl Iterator<Item = (&Event, &CommitCreated)> {
        self.all(|body| if let Body::CommitCreated(data) = body { Some(data) } else { None })
    }

    /// The last event, which closes the record.
    ///
    /// # Panics
    /// If the record is not closed.
    #[must_use]
    pub fn closed(&self) -> &SessionClosed {
        match self.events.last().map(|event| &event.body) {
            Some(Body::SessionClosed(closed)) => closed,
            other => panic!("the record ends with {other:?}"),
        }
    }

    /// Reads of a path's content.
    pub fn reads<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Event> {
        self.opened()
            .filter(move |(_, data)| data.access == Access::Read && data.path.to_string() == path)
            .map(|(event, _)| event)
    }

    /// Versions of a path.
    pub fn writes<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Event> {
        self.written()
            .filter(move |(_, data)| data.path.to_string() == path)
            .map(|(event, _)| event)
    }

    /// Removals of a path.
    pub fn removals<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Event> {
        self.all(|body| if let Body::FileRemoved(data) = body { Some(data) } else { None })
            .filter(move |(_, data)| data.path.to_string() == path)
            .map(|(event, _)| event)
    }

    /// Refusals at a path or below it.
    pub fn refusals<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Event> {
        self.denied()
            .filter(move |(_, data)| {
                let at = data.path.to_string();
                at == path || at.strip_prefix(path).is_some_and(|rest| rest.starts_with('/'))
            })
            .map(|(event, _)| event)
    }

    /// Execs of a program, by the last part of its name.
    pub fn execs<'a>(&'a self, program: &'a str) -> impl Iterator<Item = &'a ProcessExecuted> {
        self.executed()
            .filter(move |(_, data)| data.exe.rsplit('/').next() == Some(program))
            .map(|(_, data)| data)
    }

    /// The process that did it, and what it ran: its last exec before the event.
    ///
    /// # Panics
    /// If the event names no process, or a process that no exec tells of.
    #[must_use]
    pub fn program(&self, event: &Event) -> &ProcessExecuted {
        let Actor::Process(ProcessRef { pid, image, .. }) = &event.actor else {
            panic!("no process did this: {event:?}");
        };
        let of_image = |data: &ProcessExecuted| match image {
            Some(image) => data.image == *image,
            None => data.pid == *pid,
        };
        self.executed()
            .filter(|(executed, data)| executed.seq < event.seq && of_image(data))
            .map(|(_, data)| data)
            .last()
            .unwrap_or_else(|| panic!("no exec tells what process {pid} ran: {event:?}"))
    }
}

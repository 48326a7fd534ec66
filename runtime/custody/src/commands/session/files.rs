//! `custody session files`.

use custody_api_types::session::Session;

use crate::connect::Connection;
use crate::failure::Failure;
use crate::wire::Wire;
use crate::{output, render};

pub(super) fn files(wire: &Wire, server: &Connection, session: &Session) -> Result<(), Failure> {
    let files = server.wait(server.client().files(session.id).take(None))?;
    output::result(wire.format, &files, || {
        let rows: Vec<_> = files
            .iter()
            .map(|file| {
                let all = [
                    (file.read, "read"),
                    (file.written, "wrote"),
                    (file.removed, "removed"),
                    (file.denied, "refused"),
                ];
                let did: Vec<&str> =
                    all.iter().filter(|(did, _)| *did).map(|(_, word)| *word).collect();
                let events = match file.first_seq == file.last_seq {
                    true => format!("event #{}", file.first_seq),
                    false => format!("events #{} to #{}", file.first_seq, file.last_seq),
                };
                [did.join(", "), file.path.to_string(), events]
            })
            .collect();
        render::table(["", "PATH", ""], &rows)
    })
}

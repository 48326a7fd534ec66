//! Events as lines for people.

use custody_model::Actor;
use custody_record::Event;
use serde_json::Value;

use super::{cut, tame};

/// Longest line, in characters.
pub const WIDTH: usize = 200;

/// One event as one line: its place, time, actor, type and what it tells.
pub fn line(event: &Event) -> String {
    let actor = match &event.actor {
        Actor::User { name } => name.to_string(),
        Actor::Process(process) => match process.image {
            Some(image) => format!("#{} pid {}", image.0, process.pid),
            None => format!("pid {}", process.pid),
        },
        Actor::Keeper => "keeper".to_owned(),
        Actor::Server => "server".to_owned(),
    };
    let (kind, data) = type_and_data(event);
    let time = event.time.to_string();
    let text =
        format!("{:>6} {} {actor:<16} {kind:<20} {}", event.seq, &time[11..26], tame(&flat(&data)));
    cut(&text, WIDTH)
}

/// The type's name and the data of an event, as the record spells them.
pub fn type_and_data(event: &Event) -> (String, Value) {
    match serde_json::to_value(&event.body) {
        Ok(Value::Object(mut body)) => {
            let kind = body.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            (kind, body.remove("data").unwrap_or(Value::Null))
        }
        Ok(_) | Err(_) => (String::new(), Value::Null),
    }
}

/// The members of an object in one line.
pub fn flat(data: &Value) -> String {
    let Value::Object(members) = data else { return data.to_string() };
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| match value {
            Value::String(text) => format!("{name}={text}"),
            other => format!("{name}={other}"),
        })
        .collect();
    members.join(" ")
}

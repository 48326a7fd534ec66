//! Server-sent events, as the WHATWG's HTML standard has them (section 9.2.6): bytes in, events out. Pure.

/// Longest event, in bytes: an event of a record has at most 65,535, and a little stands around it.
pub const MAX_EVENT_BYTES: usize = 256 << 10;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its `id`, if it has one of its own.
    pub id: Option<String>,
    /// Its type; `message` if none was given.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// The stream is none, or an event of it is too long.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SseError {
    /// It is longer than [`MAX_EVENT_BYTES`].
    #[error("an event is longer than {MAX_EVENT_BYTES} bytes")]
    TooLong,
    /// It is no UTF-8.
    #[error("a line is no UTF-8")]
    Encoding,
}

/// Reads a stream in whatever pieces it comes.
#[derive(Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    carriage: bool,
    begun: bool,
    id: Option<String>,
    name: String,
    data: String,
    has_data: bool,
}

impl Reader {
    /// The events that are complete with these bytes.
    ///
    /// # Errors
    /// [`SseError`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<StreamEvent>, SseError> {
        let mut events = Vec::new();
        for &byte in bytes {
            let second = self.carriage && byte == b'\n';
            self.carriage = byte == b'\r';
            match byte {
                b'\n' if second => {}
                b'\n' | b'\r' => events.extend(self.end_of_line()?),
                _ => self.line.push(byte),
            }
            if self.line.len() + self.data.len() > MAX_EVENT_BYTES {
                return Err(SseError::TooLong);
            }
        }
        Ok(events)
    }

    fn end_of_line(&mut self) -> Result<Option<StreamEvent>, SseError> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_| SseError::Encoding)?;
        // One byte order mark at the very beginning is no part of the stream.
        let line = match std::mem::replace(&mut self.begun, true) {
            false => line.strip_prefix('\u{feff}').unwrap_or(&line),
            true => &line,
        };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
            // Comments keep the connection alive; what else there may be is passed over.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<StreamEvent> {
        let (id, name) = (self.id.take(), std::mem::take(&mut self.name));
        let data = std::mem::take(&mut self.data);
        if !std::mem::replace(&mut self.has_data, false) {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(StreamEvent { id, name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<StreamEvent> {
        Reader::default().push(text.as_bytes()).unwrap()
    }

    fn event(id: Option<&str>, name: &str, data: &str) -> StreamEvent {
        StreamEvent { id: id.map(str::to_owned), name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        assert_eq!(read(": alive\n\nid: 7\ndata: {}\n\n"), [event(Some("7"), "message", "{}")]);
        assert_eq!(read("event: end\r\ndata:a\r\ndata: b\r\n\r\n"), [event(None, "end", "a\nb")]);
        assert_eq!(
            read("\u{feff}data\n\ndata:  x\r\r"),
            [event(None, "message", ""), event(None, "message", " x")]
        );
        assert!(read("data: not complete\n").is_empty());
        assert!(read("event: nothing\n\n").is_empty());
    }

    #[test]
    fn an_event_that_never_ends_is_refused() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; 64 << 10];
        let pushed = (0..5).map(|_| reader.push(&piece)).find(Result::is_err);
        assert_eq!(pushed, Some(Err(SseError::TooLong)));
    }

    proptest! {
        #[test]
        fn the_pieces_in_which_a_stream_comes_do_not_matter(
            bytes in proptest::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()
            ], 0..128),
            cut in 0_usize..128,
        ) {
            let whole = Reader::default().push(&bytes);
            let mut reader = Reader::default();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let pieces = reader.push(first).and_then(|mut events| {
                events.extend(reader.push(second)?);
                Ok(events)
            });
            prop_assert_eq!(whole, pieces);
        }
    }
}

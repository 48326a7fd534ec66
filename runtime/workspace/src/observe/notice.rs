//! Parser of what the kernel writes into a fanotify group's descriptor (`struct fanotify_event_metadata`, version 3,
//! and its information records; fanotify(7)). Foreign bytes: it checks every length and never panics.

/// Bytes of `struct fanotify_event_metadata`.
const METADATA_BYTES: usize = 24;
/// Bytes of an information record before its handle: its header and the id of the file system.
const RECORD_BYTES: usize = 12;
/// Bytes of `struct file_handle` before the handle itself.
const HANDLE_BYTES: usize = 8;
/// Longest handle (`MAX_HANDLE_SZ` of Linux).
pub(super) const MAX_HANDLE_BYTES: usize = 128;

/// A part of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The bytes that it stands for. `buffer` is the one that was parsed.
    pub(super) fn of(self, buffer: &[u8]) -> &[u8] {
        buffer.get(self.start..self.end).unwrap_or_default()
    }
}

/// A directory and a name in it; `.` is the directory itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The directory's `struct file_handle`.
    pub(super) directory: Span,
    /// The name.
    pub(super) name: Span,
}

/// One event of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// What happened: bits `FAN_*`, of several merged events.
    pub(super) mask: u64,
    /// The process.
    pub(super) pid: i32,
    /// `struct file_handle` of the object itself.
    pub(super) object: Option<Span>,
    /// Where; for a rename, from where.
    pub(super) place: Option<Place>,
    /// For a rename, to where.
    pub(super) to: Option<Place>,
}

/// Why the buffer can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// A length reaches beyond what contains it.
    #[error("a length at byte {0} of a fanotify buffer is wrong")]
    Length(usize),
    /// Another version of the format.
    #[error("fanotify events of version {0} are not known")]
    Version(u8),
}

/// Appends the events of `buffer[from..]` to `notices`.
///
/// # Errors
/// [`Malformed`]; the events before it were appended.
pub(super) fn parse(
    buffer: &[u8],
    from: usize,
    notices: &mut Vec<Notice>,
) -> Result<(), Malformed> {
    let mut at = from;
    while at < buffer.len() {
        let event = &buffer[at..];
        let length = u32_at(event, 0).ok_or(Malformed::Length(at))? as usize;
        if length < METADATA_BYTES || length > event.len() {
            return Err(Malformed::Length(at));
        }
        if event[4] != libc::FANOTIFY_METADATA_VERSION {
            return Err(Malformed::Version(event[4]));
        }
        let header = usize::from(u16::from_ne_bytes([event[6], event[7]]));
        if header < METADATA_BYTES || header > length {
            return Err(Malformed::Length(at));
        }
        let mask = u64_at(event, 8).ok_or(Malformed::Length(at))?;
        let pid = u32_at(event, 20).ok_or(Malformed::Length(at))?.cast_signed();
        let mut notice = Notice { mask, pid, object: None, place: None, to: None };
        records(buffer, at + header, at + length, &mut notice)?;
        notices.push(notice);
        at += length;
    }
    Ok(())
}

fn records(buffer: &[u8], from: usize, end: usize, notice: &mut Notice) -> Result<(), Malformed> {
    let mut at = from;
    while at < end {
        let record = &buffer[at..end];
        let [kind, _, low, high, ..] = *record else {
            return Err(Malformed::Length(at));
        };
        let length = usize::from(u16::from_ne_bytes([low, high]));
        if length < 4 || length > record.len() {
            return Err(Malformed::Length(at));
        }
        match kind {
            libc::FAN_EVENT_INFO_TYPE_FID => {
                notice.object = Some(handle(buffer, at, at + length)?);
            }
            libc::FAN_EVENT_INFO_TYPE_DFID_NAME | libc::FAN_EVENT_INFO_TYPE_OLD_DFID_NAME => {
                notice.place = Some(place(buffer, at, at + length)?);
            }
            libc::FAN_EVENT_INFO_TYPE_NEW_DFID_NAME => {
                notice.to = Some(place(buffer, at, at + length)?);
            }
            libc::FAN_EVENT_INFO_TYPE_DFID => {
                let directory = handle(buffer, at, at + length)?;
                notice.place = Some(Place {
                    directory,
                    name: Span { start: directory.end, end: directory.end },
                });
            }
            // Records that were not asked for, or that newer kernels add, tell nothing that is needed.
            _ => {}
        }
        at += length;
    }
    Ok(())
}

fn handle(buffer: &[u8], at: usize, end: usize) -> Result<Span, Malformed> {
    let start = at + RECORD_BYTES;
    let bytes = buffer.get(start..end).unwrap_or_default();
    let length = u32_at(bytes, 0).ok_or(Malformed::Length(at))? as usize;
    if length > MAX_HANDLE_BYTES || HANDLE_BYTES + length > bytes.len() {
        return Err(Malformed::Length(start));
    }
    Ok(Span { start, end: start + HANDLE_BYTES + length })
}

fn place(buffer: &[u8], at: usize, end: usize) -> Result<Place, Malformed> {
    let directory = handle(buffer, at, end)?;
    let rest = &buffer[directory.end..end];
    let length = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
    Ok(Place { directory, name: Span { start: directory.end, end: directory.end + length } })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, handle: &[u8], name: Option<&[u8]>) -> Vec<u8> {
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend_from_slice(&[7; 8]);
        bytes.extend_from_slice(&u32::try_from(handle.len()).unwrap().to_ne_bytes());
        bytes.extend_from_slice(&1i32.to_ne_bytes());
        bytes.extend_from_slice(handle);
        if let Some(name) = name {
            bytes.extend_from_slice(name);
            bytes.push(0);
        }
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let length = u16::try_from(bytes.len()).unwrap().to_ne_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes
    }

    fn event(mask: u64, pid: i32, records: &[Vec<u8>]) -> Vec<u8> {
        let records = records.concat();
        let length = u32::try_from(METADATA_BYTES + records.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[libc::FANOTIFY_METADATA_VERSION, 0, 24, 0]);
        bytes.extend_from_slice(&mask.to_ne_bytes());
        bytes.extend_from_slice(&(-1i32).to_ne_bytes());
        bytes.extend_from_slice(&pid.to_ne_bytes());
        bytes.extend_from_slice(&records);
        bytes
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut notices = Vec::new();
            let _ = parse(&bytes, 0, &mut notices);
        }

        #[test]
        fn no_flipped_byte_makes_the_parser_read_outside(
            at in 0usize..160, value in any::<u8>(), cut in 0usize..160,
        ) {
            let mut bytes = event(8, 42, &[record(2, &[1; 36], Some(b"name")), record(1, &[2; 36], None)]);
            let at = at % bytes.len();
            bytes[at] = value;
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            let mut notices = Vec::new();
            let _ = parse(&bytes, 0, &mut notices);
            for notice in notices {
                for span in notice.object.iter().chain(notice.place.iter().map(|p| &p.directory)) {
                    prop_assert!(span.end <= bytes.len());
                    prop_assert!(span.of(&bytes).len() >= HANDLE_BYTES);
                }
            }
        }

        #[test]
        fn events_are_read_as_they_were_written(
            events in proptest::collection::vec(
                (any::<u64>(), any::<i32>(), proptest::collection::vec(any::<u8>(), 0..=128),
                 proptest::collection::vec(1u8.., 0..=255)), 0..8),
        ) {
            let buffer: Vec<u8> = events.iter().flat_map(|(mask, pid, handle, name)| {
                event(*mask, *pid, &[record(10, handle, Some(name)), record(12, handle, Some(b"to")),
                    record(1, handle, None)])
            }).collect();
            let mut notices = Vec::new();
            prop_assert_eq!(parse(&buffer, 0, &mut notices), Ok(()));
            prop_assert_eq!(notices.len(), events.len());
            for (notice, (mask, pid, handle, name)) in notices.iter().zip(&events) {
                prop_assert_eq!((notice.mask, notice.pid), (*mask, *pid));
                prop_assert_eq!(&notice.object.unwrap().of(&buffer)[8..], &handle[..]);
                prop_assert_eq!(notice.place.unwrap().name.of(&buffer), &name[..]);
                prop_assert_eq!(notice.to.unwrap().name.of(&buffer), b"to");
            }
        }
    }
}

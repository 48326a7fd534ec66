//! A question to a name server (RFC 1035), from foreign bytes, and the answer that there is no such name.

use std::fmt::Write;

/// Longest question that is read, in bytes; one question with options fits many times.
pub const MAX_MESSAGE_BYTES: usize = 1232;

const HEADER_BYTES: usize = 12;
const MAX_NAME_BYTES: usize = 255;
const MAX_LABEL_BYTES: u8 = 63;

/// NXDOMAIN. Not REFUSED, which makes resolvers ask again for seconds.
const NO_SUCH_NAME: u8 = 3;

/// Types of records (RFC 1035, RFC 3596).
const A: u16 = 1;
const PTR: u16 = 12;
const AAAA: u16 = 28;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name without its last dot (the root is `.`), in the spelling of who asked: redaction knows tokens by it. What is not a
    /// letter, digit, `-` or `_` is written `\DDD`.
    pub name: String,
    /// The type that is asked for, as in RFC 1035 (1 is A, 28 is AAAA).
    pub kind: u16,
    id: [u8; 2],
    recursion_desired: bool,
    /// The question as it stood in the message.
    section: Vec<u8>,
}

/// Reads a message with one question; `None` for anything else.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Question> {
    let header = message.first_chunk::<HEADER_BYTES>()?;
    let is_answer = header[2] & 0x80 != 0;
    let operation = header[2] >> 3 & 0xf;
    if is_answer || operation != 0 || header[4..6] != [0, 1] {
        return None;
    }
    let mut at = HEADER_BYTES;
    let mut name = String::new();
    loop {
        let length = *message.get(at)?;
        at += 1;
        if length == 0 {
            break;
        }
        // A pointer has nothing to point at in a question.
        if length > MAX_LABEL_BYTES || at + usize::from(length) > HEADER_BYTES + MAX_NAME_BYTES {
            return None;
        }
        let label = message.get(at..at + usize::from(length))?;
        at += usize::from(length);
        if !name.is_empty() {
            name.push('.');
        }
        for byte in label {
            match *byte {
                plain @ (b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_') => {
                    name.push(char::from(plain));
                }
                other => write!(name, "\\{other:03}").ok()?,
            }
        }
    }
    if name.is_empty() {
        name.push('.');
    }
    let kind = message.get(at..at + 2)?;
    let kind = u16::from_be_bytes([kind[0], kind[1]]);
    let section = message.get(HEADER_BYTES..at + 4)?.to_vec();
    Some(Question {
        name,
        kind,
        id: [header[0], header[1]],
        recursion_desired: header[2] & 1 != 0,
        section,
    })
}

impl Question {
    /// The answer about the sandbox's own name: its loopback addresses, and nothing of another kind.
    #[must_use]
    pub fn answer_loopback(&self) -> Vec<u8> {
        /// Pointer to the question's name, type, class IN, no time to live.
        const TO_THE_NAME: [u8; 2] = [0xc0, HEADER_BYTES as u8];
        const CLASS_AND_LIFE: [u8; 6] = [0, 1, 0, 0, 0, 0];
        let address: &[u8] = match self.kind {
            A => &[127, 0, 0, 1],
            AAAA => &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
            _ => &[],
        };
        let mut bytes = self.answer();
        bytes[3] = 0x80;
        if let (Ok(length), false) = (u16::try_from(address.len()), address.is_empty()) {
            bytes[7] = 1;
            bytes.extend(TO_THE_NAME);
            bytes.extend(self.kind.to_be_bytes());
            bytes.extend(CLASS_AND_LIFE);
            bytes.extend(length.to_be_bytes());
            bytes.extend(address);
        }
        bytes
    }

    /// Whether it asks for the name of a loopback address, which nobody outside could tell.
    #[must_use]
    pub fn asks_for_own_address(&self) -> bool {
        let zeros = "0.".repeat(31);
        self.kind == PTR
            && (self.name.ends_with(".127.in-addr.arpa")
                || self.name == "0.0.0.0.in-addr.arpa"
                || self.name.strip_suffix("ip6.arpa").is_some_and(|digits| {
                    matches!(digits.strip_suffix(zeros.as_str()), Some("0." | "1."))
                }))
    }

    /// The answer: there is no such name.
    #[must_use]
    pub fn answer(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.section.len());
        bytes.extend(self.id);
        bytes.push(0x80 | u8::from(self.recursion_desired));
        bytes.push(0x80 | NO_SUCH_NAME);
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(&self.section);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ask(labels: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in labels {
            bytes.push(u8::try_from(label.len()).unwrap());
            bytes.extend(*label);
        }
        bytes.extend([0, 0, 28, 0, 1]);
        bytes
    }

    #[test]
    fn a_question_is_read_and_answered_with_no_such_name() {
        let message = ask(&[b"API", b"example", b"com"]);
        let question = parse(&message).unwrap();
        assert_eq!((question.name.as_str(), question.kind), ("API.example.com", 28));
        let answer = question.answer();
        assert_eq!(answer[..4], [7, 8, 0x81, 0x83]);
        assert_eq!(answer[HEADER_BYTES..], message[HEADER_BYTES..]);
        assert!(parse(&answer).is_none(), "an answer is no question");
    }

    #[test]
    fn the_own_name_is_answered_with_loopback() {
        let question = parse(&ask(&[b"custody"])).unwrap();
        let answer = question.answer_loopback();
        assert_eq!(answer[2..8], [0x81, 0x80, 0, 1, 0, 1]);
        assert_eq!(answer[answer.len() - 16..], std::net::Ipv6Addr::LOCALHOST.octets());
        assert!(!question.asks_for_own_address());
        let asked = |labels: &str| {
            let labels: Vec<&[u8]> = labels.split('.').map(str::as_bytes).collect();
            let mut bytes = ask(&labels);
            let at = bytes.len() - 3;
            bytes[at] = 12;
            parse(&bytes).unwrap().asks_for_own_address()
        };
        assert!(asked("2.0.0.127.in-addr.arpa"));
        assert!(asked(&format!("1.{}ip6.arpa", "0.".repeat(31))));
        assert!(!asked("1.0.0.10.in-addr.arpa"));
    }

    #[test]
    fn a_name_can_not_break_out_of_its_text() {
        assert_eq!(parse(&ask(&[b"a.b\n\""])).unwrap().name, "a\\046b\\010\\034");
        assert_eq!(parse(&ask(&[])).unwrap().name, ".");
    }

    #[test]
    fn pointers_and_long_names_are_refused() {
        let mut pointer = ask(&[b"a"]);
        pointer[HEADER_BYTES] = 0xc0;
        assert!(parse(&pointer).is_none());
        assert!(parse(&ask(&[&[b'a'; 63][..]; 3])).is_some());
        assert!(parse(&ask(&[&[b'a'; 63][..]; 5])).is_none());
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(question) = parse(&bytes) {
                prop_assert!(question.name.len() <= 4 * MAX_NAME_BYTES);
                prop_assert!(question.answer().len() <= bytes.len());
            }
        }

        #[test]
        fn cut_questions_are_refused(n in 0usize..28) {
            let message = ask(&[b"example", b"com"]);
            prop_assert!(parse(&message[..n.min(message.len() - 1)]).is_none());
        }
    }
}

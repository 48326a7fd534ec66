//! Signed notes: C2SP signed-note v1.0.0.
//!
//! A text that ends in a newline, an empty line, and signature lines `— <key name> <base64(key hash ‖ signature)>`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::{Keys, Verifier};
use super::term::Term;

/// Longest note that is read, in bytes.
pub const MAX_NOTE_BYTES: usize = 64 * 1024;

/// Most signature lines that are read.
pub const MAX_SIGNATURES: usize = 64;

/// Why bytes are not a signed note, or not one of this key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoteError {
    /// Longer than [`MAX_NOTE_BYTES`], or more than [`MAX_SIGNATURES`].
    #[error("the note is too long")]
    TooLong,
    /// Not UTF-8, control characters, no empty line, no signature line, or one that is not well formed.
    #[error("the note is malformed: {0}")]
    Malformed(&'static str),
    /// No line of that key.
    #[error("no signature of the key {0} is in the note")]
    UnknownKey(String),
    /// A line of that key, but the signature is not its.
    #[error("the signature of the key {0} does not fit the note")]
    BadSignature(String),
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The key's name.
    pub name: String,
    /// The key's hash: the first four bytes of SHA-256 over name, newline, algorithm and public key.
    pub hash: [u8; 4],
    /// The signature.
    pub signature: Vec<u8>,
}

/// A parsed note. Nothing in it is believed before [`Note::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Signs a text, which must end in a newline, as the key `name` of these keys, and under the name that the installation's
    /// verifier key is handed out with: so that one key checks every note with any tool for signed notes.
    pub(crate) fn sign(text: &str, keys: &Keys, name: &str) -> Self {
        let signature = keys.sign(text.as_bytes()).to_vec();
        let line = |name: &str| NoteSignature {
            name: name.to_owned(),
            hash: keys.verifier().named(name).hash(),
            signature: signature.clone(),
        };
        let mut signatures = vec![line(name)];
        if name != keys.name() {
            signatures.push(line(keys.name()));
        }
        Self { text: text.to_owned(), signatures }
    }

    /// With a signature of another key.
    pub(crate) fn also_by(mut self, keys: &Keys, name: &str) -> Self {
        self.signatures.append(&mut Self::sign(&self.text, keys, name).signatures);
        self
    }

    /// Parses a note.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let all = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        if all.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(NoteError::Malformed("a control character"));
        }
        let (text, lines) = all.rsplit_once("\n\n").ok_or(NoteError::Malformed("no empty line"))?;
        let lines =
            lines.strip_suffix('\n').ok_or(NoteError::Malformed("no newline at the end"))?;
        Ok(Self { text: format!("{text}\n"), signatures: parse_lines(lines)? })
    }

    /// The same text without a signature.
    pub(crate) fn unsigned(note: &Self) -> Self {
        Self { text: note.text.clone(), signatures: Vec::new() }
    }

    /// Adds a signature line, unless it is there already.
    pub fn add(&mut self, signature: NoteSignature) {
        if !self.signatures.contains(&signature) {
            self.signatures.push(signature);
        }
    }

    /// The text, with its last newline.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines.
    #[must_use]
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The lines of one key.
    pub(super) fn lines_of(&self, name: &str, hash: [u8; 4]) -> impl Iterator<Item = &[u8]> {
        let own = move |line: &&NoteSignature| line.name == name && line.hash == hash;
        self.signatures.iter().filter(own).map(|line| line.signature.as_slice())
    }

    /// Whether the key, or one of the installation's earlier keys that it knows, signed the text. A line of such a key that
    /// does not fit makes the whole note worthless, whatever other lines there are.
    ///
    /// # Errors
    /// [`NoteError::UnknownKey`], [`NoteError::BadSignature`].
    pub fn verify(&self, verifier: &Verifier) -> Result<&str, NoteError> {
        self.signer(verifier).map(|_| self.text.as_str())
    }

    /// The same, with the key that did and its term.
    ///
    /// # Errors
    /// [`NoteError::UnknownKey`], [`NoteError::BadSignature`].
    pub fn signer(&self, verifier: &Verifier) -> Result<(Verifier, Term), NoteError> {
        let mut signer = None;
        let mut foreign = Vec::new();
        for line in &self.signatures {
            let named = verifier.named(&line.name);
            let Some((key, term)) = named.keys().find(|(key, _)| key.hash() == line.hash) else {
                foreign.push(line);
                continue;
            };
            if !key.verify(self.text.as_bytes(), &line.signature) {
                return Err(NoteError::BadSignature(key.id()));
            }
            if line.name == verifier.name() {
                signer.get_or_insert((key, term, &line.signature));
            }
        }
        // One that repeats the key's signature was its line under another name before somebody changed it. The first byte is
        // left out: it shares a base64 character with the key's hash, so that one changed character changes both.
        if let Some((key, _, signature)) = &signer
            && foreign.iter().any(|line| line.signature.get(1..) == signature.get(1..))
        {
            return Err(NoteError::BadSignature(key.id()));
        }
        let signer = signer.map(|(key, term, _)| (key, term));
        signer.ok_or_else(|| NoteError::UnknownKey(verifier.id()))
    }

    /// The bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\n", self.text);
        for line in &self.signatures {
            out.push_str(&line.line());
        }
        out.into_bytes()
    }
}

impl NoteSignature {
    /// The line, with its newline.
    #[must_use]
    pub fn line(&self) -> String {
        let mut raw = self.hash.to_vec();
        raw.extend_from_slice(&self.signature);
        format!("\u{2014} {} {}\n", self.name, STANDARD.encode(raw))
    }

    /// Parses lines without a text, as witnesses answer with.
    ///
    /// # Errors
    /// [`NoteError::TooLong`], [`NoteError::Malformed`].
    pub fn parse_lines(bytes: &[u8]) -> Result<Vec<Self>, NoteError> {
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong);
        }
        let text = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        parse_lines(text.strip_suffix('\n').ok_or(NoteError::Malformed("no newline at the end"))?)
    }
}

fn parse_lines(lines: &str) -> Result<Vec<NoteSignature>, NoteError> {
    let mut signatures = Vec::new();
    for line in lines.split('\n') {
        if signatures.len() == MAX_SIGNATURES {
            return Err(NoteError::TooLong);
        }
        signatures.push(parse_line(line).ok_or(NoteError::Malformed("a signature line"))?);
    }
    Ok(signatures)
}

fn parse_line(line: &str) -> Option<NoteSignature> {
    let (name, base64) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
    let raw = STANDARD.decode(base64).ok()?;
    let (hash, signature) = raw.split_first_chunk::<4>()?;
    if name.is_empty()
        || name.contains(char::is_whitespace)
        || name.contains('+')
        || signature.is_empty()
    {
        return None;
    }
    Some(NoteSignature { name: name.to_owned(), hash: *hash, signature: signature.to_vec() })
}

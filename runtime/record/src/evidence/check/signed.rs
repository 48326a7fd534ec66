//! The keys of a pack, and what they signed: the checkpoint and the attestation.

use super::Check;
use crate::canonical;
use crate::evidence::manifest::PackFile;
use crate::seal::{DsseError, Envelope, Statement};
use crate::tlog::{KeyHistory, Note, NoteError};
use crate::verify::{Code, Finding, KeyChoice, KeySource};

impl Check<'_> {
    /// Chooses the keys: those of the pack, if the one that is trusted is among them.
    pub(super) fn keys(&mut self, content: &[u8]) {
        let history = match KeyHistory::parse(content) {
            Ok(history) => history,
            Err(error) => {
                let mut text = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    text = format!("{text}: {cause}");
                }
                return self.at(PackFile::Keys, Code::KeyFileDamaged, text);
            }
        };
        let (trusted, source) = match &self.options.key {
            KeyChoice::Given(key) => (Some(key), KeySource::Given),
            KeyChoice::Installation(key) => (Some(key), KeySource::Installation),
            KeyChoice::Server(key) => (Some(key), KeySource::Server),
            KeyChoice::Record => (None, KeySource::Record),
        };
        self.key_source = source;
        match trusted {
            None => {
                let what = "the key was taken from the pack itself: whose it is was not checked";
                self.found(Finding::new(Code::KeyFromRecord, what));
                self.verifier = Some(history.verifier());
            }
            Some(key) => match history.trusting(&key.alone()) {
                Ok(verifier) => self.verifier = Some(verifier),
                // Who exported it may not have known of a newer key that this verifier knows.
                Err(_) if key.knows(history.current()) => self.verifier = Some(key.clone()),
                Err(error) => self.at(PackFile::Keys, Code::KeyDiffers, error.to_string()),
            },
        }
    }

    /// Checks what checkpoint and seal are signed with.
    pub(super) fn signatures(&mut self) {
        let Some(verifier) = self.verifier.clone() else { return };
        if let Some((bytes, checkpoint)) = &self.checkpoint {
            let signed = Note::parse(bytes)
                .and_then(|note| note.signer(&verifier.named(&checkpoint.origin)));
            match signed {
                Ok((_, term)) => self.terms.push(term),
                Err(error @ NoteError::UnknownKey(_)) => {
                    self.at(PackFile::Checkpoint, Code::CheckpointKeyUnknown, error.to_string());
                }
                Err(error) => {
                    self.at(PackFile::Checkpoint, Code::CheckpointSignature, error.to_string());
                }
            }
        }
        let Some(seal) = self.seal.take() else { return };
        let opened = Envelope::parse(&seal).and_then(|envelope| envelope.opened(&verifier));
        let (payload, key, term) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                let code = match &error {
                    DsseError::UnknownKey(_) => Code::SealKeyUnknown,
                    DsseError::BadSignature(_) => Code::SealSignature,
                    DsseError::TooLong
                    | DsseError::Shape(_)
                    | DsseError::NotCanonical
                    | DsseError::Encode(_)
                    | DsseError::PayloadType(_)
                    | DsseError::Base64(_) => Code::SealMalformed,
                };
                return self.at(PackFile::Seal, code, error.to_string());
            }
        };
        let statement = serde_json::from_slice::<Statement>(&payload).ok();
        let canonical =
            |statement: &Statement| canonical::to_vec(statement).is_ok_and(|b| b == payload);
        match statement.filter(canonical) {
            Some(statement) => {
                self.statement = Some(statement);
                self.signer = Some(key);
                self.terms.push(term);
            }
            None => {
                let what = "the payload is no statement of an agent session";
                self.at(PackFile::Seal, Code::SealMalformed, what);
            }
        }
    }
}

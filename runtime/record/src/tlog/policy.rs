//! Whose word is enough: trust policies of transparency logs, C2SP tlog-policy.
//!
//! Lines `log <vkey> [<url>]`, `witness <name> <vkey> [<url>]`, `group <name> all|any|<k> <name>…` and one `quorum <name>|none`.
//! Of witness keys those of Ed25519 cosigners (type 0x04) are known. Names must be UTF-8, which the format only recommends.

use super::cosignature::Cosigner;
use super::key::Verifier;
use super::note::{Note, NoteError};

/// Longest policy that is read, in bytes.
pub const MAX_POLICY_BYTES: usize = 64 * 1024;

/// Most logs, witnesses and groups, of each.
const MAX_EACH: usize = 256;

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct PolicyError {
    /// Where, from 1 on; 0 is the whole.
    pub line: usize,
    /// Why, in words.
    pub reason: String,
}

/// A witness of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyWitness {
    /// Its name in the policy.
    pub name: String,
    /// Its key.
    pub cosigner: Cosigner,
    /// Its submission prefix (C2SP tlog-witness).
    pub url: Option<String>,
}

/// What the witnesses of a policy say about a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged<'a> {
    /// Those that cosigned it, each with its time in seconds since 1970.
    pub cosigned: Vec<(&'a PolicyWitness, u64)>,
    /// They are a quorum.
    pub enough: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Witness(usize),
    Group(usize),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    threshold: usize,
    members: Vec<Member>,
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlogPolicy {
    logs: Vec<(Verifier, Option<String>)>,
    witnesses: Vec<PolicyWitness>,
    groups: Vec<Group>,
    /// `None`: no cosignature is wanted.
    quorum: Option<Member>,
}

impl TlogPolicy {
    /// Parses the text.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let whole = |reason: &str| PolicyError { line: 0, reason: reason.to_owned() };
        if text.len() > MAX_POLICY_BYTES {
            return Err(whole("the policy is too long"));
        }
        let mut policy = Self::default();
        let mut used = Vec::new();
        let mut quorum = None;
        for (line, words) in (1..).zip(text.split('\n')) {
            let error = |reason: String| PolicyError { line, reason };
            if words.chars().any(|c| c.is_ascii_control() && c != '\t') {
                return Err(error("a control character".to_owned()));
            }
            let words: Vec<&str> =
                words.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                ["log", key, url @ ..] if url.len() < 2 => policy.log(key, url).map_err(error)?,
                ["witness", name, key, url @ ..] if url.len() < 2 => {
                    policy.witness(name, key, url).map_err(error)?;
                }
                ["group", name, threshold, members @ ..] if !members.is_empty() => {
                    policy.group(name, threshold, members, &mut used).map_err(error)?;
                }
                ["quorum", _] if quorum.is_some() => {
                    return Err(error("there is a quorum already".to_owned()));
                }
                ["quorum", "none"] => quorum = Some(None),
                ["quorum", name] => {
                    let unknown = || error(format!("nothing above is called {name}"));
                    quorum = Some(Some(policy.member(name).ok_or_else(unknown)?));
                }
                [first, ..] => {
                    return Err(error(format!(
                        "{first}: log <vkey> [<url>], witness <name> <vkey> [<url>], group <name> all|any|<k> <name>… or \
                         quorum <name>|none is wanted"
                    )));
                }
            }
        }
        policy.quorum = quorum.ok_or_else(|| whole("there is no quorum line"))?;
        Ok(policy)
    }

    fn log(&mut self, key: &str, url: &[&str]) -> Result<(), String> {
        let verifier: Verifier = key.parse().map_err(|error| format!("{error}"))?;
        let same = |known: &Verifier| known.named("") == verifier.named("");
        if self.logs.iter().any(|(known, _)| same(known)) {
            return Err("a log with this key is there already".to_owned());
        }
        if self.logs.len() == MAX_EACH {
            return Err(format!("at most {MAX_EACH} logs are taken"));
        }
        self.logs.push((verifier, url.first().map(|url| (*url).to_owned())));
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str, url: &[&str]) -> Result<(), String> {
        self.fresh(name)?;
        let cosigner: Cosigner = key.parse().map_err(|error| format!("{error}"))?;
        if self.witnesses.iter().any(|known| known.cosigner.same_key(&cosigner)) {
            return Err("a witness with this key is there already".to_owned());
        }
        if self.witnesses.len() == MAX_EACH {
            return Err(format!("at most {MAX_EACH} witnesses are taken"));
        }
        let url = url.first().map(|url| (*url).to_owned());
        self.witnesses.push(PolicyWitness { name: name.to_owned(), cosigner, url });
        Ok(())
    }

    fn group(
        &mut self,
        name: &str,
        threshold: &str,
        names: &[&str],
        used: &mut Vec<String>,
    ) -> Result<(), String> {
        self.fresh(name)?;
        if self.groups.len() == MAX_EACH {
            return Err(format!("at most {MAX_EACH} groups are taken"));
        }
        let mut members = Vec::new();
        for name in names {
            if used.iter().any(|known| known == name) {
                return Err(format!("{name} is a member already: it would count twice"));
            }
            used.push((*name).to_owned());
            let member = self.member(name);
            members.push(member.ok_or_else(|| format!("nothing above is called {name}"))?);
        }
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            digits => digits
                .parse()
                .ok()
                .filter(|k| (1..=members.len()).contains(k) && digits == k.to_string())
                .ok_or_else(|| {
                    format!("{digits} is none of all, any and 1 to {}", members.len())
                })?,
        };
        self.groups.push(Group { name: name.to_owned(), threshold, members });
        Ok(())
    }

    fn member(&self, name: &str) -> Option<Member> {
        let witness = self.witnesses.iter().position(|witness| witness.name == name);
        let group = || self.groups.iter().position(|group| group.name == name);
        witness.map(Member::Witness).or_else(|| group().map(Member::Group))
    }

    fn fresh(&self, name: &str) -> Result<(), String> {
        match name == "none" || self.member(name).is_some() {
            true => Err(format!("the name {name} is taken")),
            false => Ok(()),
        }
    }

    /// The keys of the logs that it accepts, each with the log's origin as its name.
    pub fn logs(&self) -> impl Iterator<Item = &Verifier> {
        self.logs.iter().map(|(verifier, _)| verifier)
    }

    /// Whether it takes heads of this log, whose origin is the key's name; one that names no log takes those of any.
    #[must_use]
    pub fn accepts(&self, log: &Verifier) -> bool {
        self.logs.is_empty() || self.logs().any(|known| log.knows(known))
    }

    /// The witnesses.
    #[must_use]
    pub fn witnesses(&self) -> &[PolicyWitness] {
        &self.witnesses
    }

    /// Whether any cosignature is wanted.
    #[must_use]
    pub fn wants_witnesses(&self) -> bool {
        self.quorum.is_some()
    }

    /// Which of the witnesses cosigned a checkpoint, and whether they are enough.
    ///
    /// # Errors
    /// [`NoteError::BadSignature`]: a line of one of them does not fit, and the note is worthless.
    pub fn judge(&self, note: &Note) -> Result<Judged<'_>, NoteError> {
        let mut cosigned = Vec::new();
        for witness in &self.witnesses {
            if let Some(time) = witness.cosigner.cosigned(note)? {
                cosigned.push((witness, time));
            }
        }
        let enough = self.quorum.is_none_or(|quorum| self.holds(quorum, &cosigned));
        Ok(Judged { cosigned, enough })
    }

    fn holds(&self, member: Member, cosigned: &[(&PolicyWitness, u64)]) -> bool {
        match member {
            Member::Witness(at) => {
                let wanted = &self.witnesses[at];
                cosigned.iter().any(|(witness, _)| std::ptr::eq(*witness, wanted))
            }
            Member::Group(at) => {
                let group = &self.groups[at];
                let held = group.members.iter().filter(|member| self.holds(**member, cosigned));
                held.count() >= group.threshold
            }
        }
    }
}

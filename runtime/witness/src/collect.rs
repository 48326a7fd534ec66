//! Cosignatures for the newest head of a log, from all witnesses of a policy at once, until a quorum has cosigned it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use custody_record::tlog::{
    Checkpoint, CheckpointError, Judged, Note, NoteError, NoteSignature, PolicyWitness, TileError,
    TileHashes, TlogPolicy, Verifier, prove_consistency,
};
use custody_record::witness::{AddCheckpoint, COSIGNED_FILE, store_cosigned};
use tokio::task::JoinSet;

use crate::ask::{AskError, Asking};

/// How long witnesses that are not needed any more are waited for.
const LATE: Duration = Duration::from_millis(500);

/// A log that is to be witnessed.
#[derive(Clone, Debug)]
pub struct LogPlace {
    /// Its directory.
    pub dir: PathBuf,
    /// Its origin.
    pub origin: String,
    /// The installation's key.
    pub verifier: Verifier,
}

/// Why a round could not be.
#[derive(Debug, thiserror::Error)]
pub enum RoundError {
    /// The log's files.
    #[error("the log's head can't be read, or its cosigned head not be written")]
    Io(#[from] io::Error),
    /// The log's head.
    #[error("the log's head is not its own")]
    Head(#[from] CheckpointError),
}

/// Why one witness's cosignature is not there.
#[derive(Debug, thiserror::Error)]
pub enum Outcome {
    /// It was asked, and did not cosign.
    #[error(transparent)]
    Asked(#[from] AskError),
    /// It cosigned a longer log than there is: the log was rolled back.
    #[error(
        "the witness cosigned {witnessed} entries, and the log has {size}: it was rolled back, or somebody else writes it"
    )]
    Ahead {
        /// By the witness.
        witnessed: u64,
        /// Of the log.
        size: u64,
    },
    /// The proof can't be made of the log's tiles.
    #[error("the log's tiles give no proof")]
    Tiles(#[from] TileError),
    /// What it gave is no cosignature of this head.
    #[error("the witness's cosignature does not fit the head")]
    Cosignature(#[from] NoteError),
    /// It gave lines of other keys alone.
    #[error("the witness's answer has no cosignature of its key")]
    NoCosignature,
    /// The policy says no URL for it.
    #[error("the policy has no URL for the witness")]
    NoUrl,
    /// Others were enough, and it had not answered yet.
    #[error("the witness had not answered when others were enough")]
    Late,
    /// The task that asked broke off.
    #[error("asking the witness broke off")]
    Broken(#[from] tokio::task::JoinError),
}

/// What came of asking once.
#[derive(Debug)]
pub struct Round {
    /// The head.
    pub head: Checkpoint,
    /// Names of the witnesses that cosigned it.
    pub cosigned: Vec<String>,
    /// Whether they are enough, and the head is where readers find it.
    pub quorum: bool,
    /// Those that did not, and why.
    pub missing: Vec<(String, Outcome)>,
    /// Of each witness, by its name, the size that it cosigned last, as far as that is known.
    pub witnessed: BTreeMap<String, u64>,
}

/// Gathers cosignatures for one log.
#[derive(Debug)]
pub struct Collector {
    place: LogPlace,
    policy: Arc<TlogPolicy>,
    asking: Asking,
    /// Per witness, by its place in the policy: the size that it cosigned last.
    sizes: BTreeMap<usize, u64>,
    /// The head that was cosigned by all, if it is the newest.
    settled: Option<Checkpoint>,
    /// The newest head with what cosignatures it has.
    current: Option<(Checkpoint, Note)>,
}

impl Collector {
    /// For this log and policy. What was cosigned before is remembered by the log's directory.
    #[must_use]
    pub fn new(place: LogPlace, policy: Arc<TlogPolicy>, asking: Asking) -> Self {
        let mut sizes = BTreeMap::new();
        if let Some((head, note)) = read(&place, COSIGNED_FILE).ok().flatten() {
            for (at, witness) in policy.witnesses().iter().enumerate() {
                if matches!(witness.cosigner.cosigned(&note), Ok(Some(_))) {
                    sizes.insert(at, head.size);
                }
            }
        }
        Self { place, policy, asking, sizes, settled: None, current: None }
    }

    /// Asks every witness that has not cosigned the newest head. `None`: there is no head, or all have.
    ///
    /// # Errors
    /// [`RoundError`]. That witnesses do not cosign is none.
    pub async fn round(&mut self) -> Result<Option<Round>, RoundError> {
        let place = self.place.clone();
        let found = tokio::task::spawn_blocking(move || read(&place, "checkpoint")).await;
        let found = found.map_err(io::Error::other)??;
        let Some((head, fresh)) = found else { return Ok(None) };
        if self.settled.as_ref() == Some(&head) {
            return Ok(None);
        }
        let mut note = match self.current.take() {
            Some((before, note)) if before == head => note,
            Some(_) | None => fresh,
        };
        let mut round = Round {
            head: head.clone(),
            cosigned: Vec::new(),
            quorum: false,
            missing: Vec::new(),
            witnessed: BTreeMap::new(),
        };
        let mut asked = JoinSet::new();
        for (at, witness) in self.policy.witnesses().iter().enumerate() {
            if matches!(witness.cosigner.cosigned(&note), Ok(Some(_))) {
                continue;
            }
            let (asking, witness) = (self.asking.clone(), witness.clone());
            let (place, head, note) = (self.place.clone(), head.clone(), note.clone());
            let old = self.sizes.get(&at).copied().unwrap_or(0);
            asked.spawn(
                async move { (at, ask(&asking, &witness, &place, &head, &note, old).await) },
            );
        }
        loop {
            let joined = match round.quorum {
                false => asked.join_next().await,
                true => match tokio::time::timeout(LATE, asked.join_next()).await {
                    Ok(joined) => joined,
                    Err(_) => break,
                },
            };
            let Some(joined) = joined else { break };
            let (at, answer) = match joined {
                Ok(answered) => answered,
                Err(error) => {
                    round.missing.push(("?".to_owned(), error.into()));
                    continue;
                }
            };
            match answer {
                Ok(lines) => {
                    self.sizes.insert(at, head.size);
                    lines.into_iter().for_each(|line| note.add(line));
                    // As soon as it is enough: the slowest witness holds nobody up.
                    round.quorum = self.store_if_enough(&note).await?;
                }
                Err((size, outcome)) => {
                    if let Some(size) = size {
                        self.sizes.insert(at, size);
                    }
                    let name = self.policy.witnesses().get(at).map(|w| w.name.clone());
                    round.missing.push((name.unwrap_or_default(), outcome));
                }
            }
        }
        let Judged { cosigned, enough } =
            self.policy.judge(&note).map_err(CheckpointError::from)?;
        round.quorum = enough;
        round.cosigned = cosigned.iter().map(|(witness, _)| witness.name.clone()).collect();
        for witness in self.policy.witnesses() {
            let known = |name: &String| *name == witness.name;
            if !round.cosigned.iter().any(known)
                && !round.missing.iter().any(|(name, _)| known(name))
            {
                round.missing.push((witness.name.clone(), Outcome::Late));
            }
        }
        round.witnessed = self
            .sizes
            .iter()
            .filter_map(|(at, size)| Some((self.policy.witnesses().get(*at)?.name.clone(), *size)))
            .collect();
        if round.missing.is_empty() {
            self.settled = Some(head.clone());
        }
        self.current = Some((head, note));
        Ok(Some(round))
    }

    async fn store_if_enough(&self, note: &Note) -> Result<bool, RoundError> {
        let enough = self.policy.judge(note).map_err(CheckpointError::from)?.enough;
        if enough {
            let (dir, note) = (self.place.dir.clone(), note.clone());
            let stored = tokio::task::spawn_blocking(move || store_cosigned(&dir, &note)).await;
            stored.map_err(io::Error::other)??;
        }
        Ok(enough)
    }
}

fn read(place: &LogPlace, name: &str) -> Result<Option<(Checkpoint, Note)>, RoundError> {
    let bytes = match std::fs::read(place.dir.join(name)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let head = Checkpoint::open(&bytes, &place.origin, &place.verifier)?;
    let note = Note::parse(&bytes).map_err(CheckpointError::from)?;
    Ok(Some((head, note)))
}

/// The witness's lines on this head; else the size that it cosigned last, if it said so, and why there are none.
async fn ask(
    asking: &Asking,
    witness: &PolicyWitness,
    place: &LogPlace,
    head: &Checkpoint,
    note: &Note,
    mut old: u64,
) -> Result<Vec<NoteSignature>, (Option<u64>, Outcome)> {
    let url = witness.url.as_deref().ok_or((None, Outcome::NoUrl))?;
    let mut told = None;
    loop {
        if old > head.size {
            return Err((told, Outcome::Ahead { witnessed: old, size: head.size }));
        }
        let (dir, size) = (place.dir.clone(), head.size);
        let proof = tokio::task::spawn_blocking(move || {
            prove_consistency(&TileHashes::new(&dir, size), old, size)
        });
        let proof = proof.await.map_err(|error| (told, error.into()))?;
        let proof = proof.map_err(|error| (told, error.into()))?;
        let checkpoint = note.to_bytes();
        match asking.add(url, &AddCheckpoint { old, proof, checkpoint }).await {
            Ok(lines) => return own(witness, note, lines).map_err(|outcome| (told, outcome)),
            // It knows better what it cosigned last. If it contradicts itself, that is enough for now.
            Err(AskError::Conflict { size }) if told.is_none() && size != old => {
                told = Some(size);
                old = size;
            }
            Err(error) => return Err((told, error.into())),
        }
    }
}

/// Of the lines those of the witness's key; each has to fit.
fn own(
    witness: &PolicyWitness,
    note: &Note,
    lines: Vec<NoteSignature>,
) -> Result<Vec<NoteSignature>, Outcome> {
    let mut with = note.clone();
    let cosigner = &witness.cosigner;
    let own: Vec<_> = lines
        .into_iter()
        .filter(|line| line.name == cosigner.name() && line.hash == cosigner.hash())
        .collect();
    own.iter().for_each(|line| with.add(line.clone()));
    match cosigner.cosigned(&with)? {
        Some(_) => Ok(own),
        None => Err(Outcome::NoCosignature),
    }
}

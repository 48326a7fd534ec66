//! A policy version: one document, checked, compiled, and named by the digest of its canonical form.

use std::fmt;
use std::sync::Arc;

use custody_model::{Digest, UserName};

use crate::document::Document;
use crate::error::PolicyError;
use crate::parse;
use crate::paths::PathRules;
use crate::yaml::Places;

pub use crate::yaml::ParseLimits;

/// One version of a policy. It never changes; cheap to clone.
#[derive(Clone)]
pub struct PolicyVersion(Arc<Inner>);

struct Inner {
    document: Document,
    source: String,
    canonical: String,
    digest: Digest,
    places: Places,
}

impl PolicyVersion {
    /// Reads a document (YAML 1.2, and so JSON as well) with the default [`ParseLimits`].
    ///
    /// # Errors
    /// [`PolicyError`] says what is wrong, and at which line, column and field.
    pub fn parse(yaml: &str) -> Result<Self, PolicyError> {
        Self::parse_with(yaml, &ParseLimits::default())
    }

    /// Reads a document with other limits.
    ///
    /// # Errors
    /// Those of [`PolicyVersion::parse`].
    pub fn parse_with(yaml: &str, limits: &ParseLimits) -> Result<Self, PolicyError> {
        let (document, places) = parse::document(yaml, limits)?;
        let canonical = serde_json_canonicalizer::to_string(&document).map_err(|source| {
            PolicyError::whole("it has no canonical form".to_owned(), Some(Box::new(source)))
        })?;
        let digest = Digest::of(canonical.as_bytes());
        let source = yaml.to_owned();
        Ok(Self(Arc::new(Inner { document, source, canonical, digest, places })))
    }

    /// The policy of `custody run` without a server: see `builtin/local.yaml`.
    #[must_use]
    pub fn builtin_local(user: &UserName) -> Self {
        let yaml = crate::builtin::local(user);
        match Self::parse(&yaml) {
            Ok(policy) => policy,
            // The template is fixed and the name is quoted; a property test tries all kinds of names.
            Err(error) => unreachable!("the built-in policy is valid: {error}"),
        }
    }

    /// The policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.document.name
    }

    /// SHA-256 of [`PolicyVersion::canonical_json`]: the version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The document in canonical form (RFC 8785): the same for every order of keys, comments and white space, and
    /// itself a document with the same digest.
    #[must_use]
    pub fn canonical_json(&self) -> &str {
        &self.0.canonical
    }

    /// The text that it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> &Document {
        &self.0.document
    }

    /// The path rules, compiled.
    #[must_use]
    pub fn path_rules(&self) -> &PathRules {
        &self.0.document.paths
    }

    /// Whether a variable of this name may enter a sandbox from the requester's environment.
    #[must_use]
    pub fn may_enter(&self, variable: &str) -> bool {
        self.0.document.environment.entry(variable).is_some()
    }

    /// The line, from 1, of the value at a JSON pointer.
    pub(crate) fn line(&self, pointer: &str) -> Option<u64> {
        self.0.places.of(pointer).map(|place| place.line)
    }
}

impl fmt::Debug for PolicyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyVersion({} {})", self.name(), self.digest())
    }
}

impl PartialEq for PolicyVersion {
    fn eq(&self, other: &Self) -> bool {
        self.digest() == other.digest()
    }
}

impl Eq for PolicyVersion {}

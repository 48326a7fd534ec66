//! How values are written into columns and read back; what does not parse is named by table and column.

use std::fmt::Display;
use std::str::FromStr;

use custody_model::{Digest, EventId, GitOid, SessionId, Timestamp, TokenId, WorkspacePath};
use custody_store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Decode, Row as _, Sqlite, Type};
use uuid::Uuid;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The database failed while it was read.
pub(crate) fn reading(source: impl Into<Cause>) -> StoreError {
    StoreError::Database { doing: "read", source: source.into() }
}

/// The database failed while it was written.
pub(crate) fn writing(source: impl Into<Cause>) -> StoreError {
    StoreError::Database { doing: "written", source: source.into() }
}

/// A value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(writing)
}

/// A value as JSON text, if it is there.
pub(crate) fn json_of(value: Option<&impl Serialize>) -> Result<Option<String>, StoreError> {
    value.map(json).transpose()
}

/// A git object id as bytes.
pub(crate) fn oid(oid: &GitOid) -> Result<Vec<u8>, StoreError> {
    hex::decode(oid.as_str()).map_err(writing)
}

/// A git object id as bytes, if it is there.
pub(crate) fn oid_of(value: Option<&GitOid>) -> Result<Option<Vec<u8>>, StoreError> {
    value.map(oid).transpose()
}

/// A count or place: SQLite's integers are signed.
pub(crate) fn count(value: u64) -> i64 {
    value.cast_signed()
}

/// An id that is a UUID.
pub(crate) trait Id: Sized {
    /// Its bytes.
    fn bytes(&self) -> &[u8];

    /// The id of this UUID.
    fn of(uuid: Uuid) -> Option<Self>;
}

macro_rules! id {
    ($($name:ident)+) => {$(
        impl Id for $name {
            fn bytes(&self) -> &[u8] {
                self.as_uuid().as_bytes()
            }

            fn of(uuid: Uuid) -> Option<Self> {
                let mut text = [0; custody_model::id::ID_TEXT_BYTES];
                uuid.hyphenated().encode_lower(&mut text);
                Self::from_text(&text)
            }
        }
    )+};
}

id!(SessionId EventId TokenId);

/// One row that was read, with its table's name.
pub(crate) struct Fields<'a> {
    table: &'static str,
    row: &'a SqliteRow,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(table: &'static str, row: &'a SqliteRow) -> Self {
        Self { table, row }
    }

    fn corrupt(&self, column: &str, source: impl Into<Cause>) -> StoreError {
        let (table, source) = (self.table, source.into());
        StoreError::Corrupt { what: format!("{table}.{column}"), source }
    }

    /// A value as SQLite holds it.
    pub(crate) fn get<T>(&self, column: &str) -> Result<T, StoreError>
    where
        T: Decode<'a, Sqlite> + Type<Sqlite>,
    {
        self.row.try_get(column).map_err(|error| self.corrupt(column, error))
    }

    pub(crate) fn text<T: FromStr<Err: Into<Cause>>>(&self, column: &str) -> Result<T, StoreError> {
        let text: &str = self.get(column)?;
        text.parse().map_err(|error: T::Err| self.corrupt(column, error))
    }

    pub(crate) fn text_of<T>(&self, column: &str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: Into<Cause>>,
    {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| text.parse().map_err(|error: T::Err| self.corrupt(column, error)))
            .transpose()
    }

    pub(crate) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        let text: &str = self.get(column)?;
        serde_json::from_str(text).map_err(|error| self.corrupt(column, error))
    }

    pub(crate) fn json_of<T: DeserializeOwned>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get(column)?;
        text.map(|text| serde_json::from_str(text).map_err(|error| self.corrupt(column, error)))
            .transpose()
    }

    pub(crate) fn time(&self, column: &str) -> Result<Timestamp, StoreError> {
        self.get(column).map(Timestamp::from_micros)
    }

    pub(crate) fn time_of(&self, column: &str) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(Timestamp::from_micros))
    }

    pub(crate) fn count(&self, column: &str) -> Result<u64, StoreError> {
        self.get::<i64>(column).map(i64::cast_unsigned)
    }

    /// Bytes that a function makes a value of, or says why not.
    fn bytes<T>(
        &self,
        column: &str,
        read: impl Fn(&[u8]) -> Result<T, Cause>,
    ) -> Result<Option<T>, StoreError> {
        let bytes: Option<&[u8]> = self.get(column)?;
        bytes.map(|bytes| read(bytes).map_err(|error| self.corrupt(column, error))).transpose()
    }

    fn present<T>(&self, column: &str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt(column, "it is NULL"))
    }

    pub(crate) fn id_of<T: Id>(&self, column: &str) -> Result<Option<T>, StoreError> {
        self.bytes(column, |bytes| {
            T::of(Uuid::from_slice(bytes)?).ok_or_else(|| wrong("an id", bytes))
        })
    }

    pub(crate) fn id<T: Id>(&self, column: &str) -> Result<T, StoreError> {
        self.present(column, self.id_of(column)?)
    }

    pub(crate) fn digest_of(&self, column: &str) -> Result<Option<Digest>, StoreError> {
        self.bytes(column, |bytes| Ok(Digest::from_bytes(bytes.try_into()?)))
    }

    pub(crate) fn digest(&self, column: &str) -> Result<Digest, StoreError> {
        self.present(column, self.digest_of(column)?)
    }

    pub(crate) fn oid_of(&self, column: &str) -> Result<Option<GitOid>, StoreError> {
        self.bytes(column, |bytes| Ok(hex::encode(bytes).parse::<GitOid>()?))
    }

    pub(crate) fn oid(&self, column: &str) -> Result<GitOid, StoreError> {
        self.present(column, self.oid_of(column)?)
    }

    pub(crate) fn path(&self, column: &str) -> Result<WorkspacePath, StoreError> {
        let path = self.bytes(column, |bytes| Ok(WorkspacePath::from_bytes(bytes)?))?;
        self.present(column, path)
    }

    /// A value that is none of those that this version knows.
    pub(crate) fn unknown(&self, column: &str, value: impl Display) -> StoreError {
        self.corrupt(column, format!("{value} is not known"))
    }
}

fn wrong(what: &str, bytes: &[u8]) -> Cause {
    format!("{} is not {what}", hex::encode(bytes)).into()
}

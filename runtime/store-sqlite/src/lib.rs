//! The embedded default store: one SQLite file that several processes have open at once.
//!
//! All SQL of this database lives here and in `migrations/sqlite`. One file per noun, as in the contract.
//!
//! Invariant: whoever writes holds the write lock from the first statement on (`BEGIN IMMEDIATE`), so that what a
//! unit of work rests on can't change under it.
//! Invariant: no query of the contract walks through a table that grows with sessions (a test asks SQLite for the
//! plan of every statement).

mod column;
mod cursor;
mod dump;
mod file;
mod lease;
mod list;
mod open;
mod output;
mod policy;
mod project;
mod repository;
mod retention;
mod save;
mod schema;
mod session;
mod store;
mod token;
mod touches;
mod user;

pub use open::{OpenError, SqliteStore, WAIT};

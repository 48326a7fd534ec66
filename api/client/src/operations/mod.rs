//! The operations of the API, a file for each kind of thing: each builds its call from the table of endpoints.

mod control;
mod logs;
mod policies;
mod projects;
mod records;
mod repositories;
mod retention;
mod server;
mod sessions;
mod tokens;
mod users;

pub use logs::LogName;

//! Records in the formats of others are what those who made the formats take: each export is read by their own packages,
//! and attributed lines are those that git itself blames on the session.

mod attribution;
mod golden;
mod outsider;
mod pushes;
mod readings;
mod receiver;
mod session;
mod terminal;
mod validator;

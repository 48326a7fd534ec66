//! Answers over real repositories, real records and a real store, through the one writer of each.

mod attribution;
mod ground;
mod neighbours;

//! What identity promises to those who use it: which tokens are taken, which are refused, and with what reason.

mod external;
mod independent;
mod maker;
mod processes;
mod refusals;

//! The server as its clients see it: a process of its own, which is killed while sessions run, and what is left then.

mod contract;
mod death;
mod ground;
mod living;
mod load;
mod rebuilt;
mod retained;
mod witnessed;

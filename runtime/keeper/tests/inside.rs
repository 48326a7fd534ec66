//! Init, the notices, the relay and the lifetimes, with the real kernel: `unshare` stands for a driver.
//!
//! Needs root, and `unshare`, `setpriv`, `ip` and `perl`, which Debian has.

mod inside {
    mod network;
    mod processes;
    mod programs;
    pub(crate) mod sandbox;
    mod walls;
}

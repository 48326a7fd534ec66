//! The one behaviour suite of sandbox drivers. A driver's tests call [`behaviour_suite!`](crate::behaviour_suite)
//! with a [`Fixture`]; every promise of the contract becomes a test of theirs.
//!
//! Inside runs a small init that obeys orders over the control socket: each order a line with a JSON array of
//! strings, each answer a line with a JSON string. Of the orders the suite needs `echo WORD…`, `exit CODE`,
//! `allocate BYTES` (in a child; answers `code 0` or `signal 9`) and `processes N` (answers how many there came to
//! be). [`obey`] plays it for the simulated driver.

mod promises;
mod room;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use custody_model::state::sandbox::SandboxEnd;

pub use self::promises::*;
pub use self::room::{Control, Room, authorize};
use crate::simulated::Inside;
use crate::{Driver, SandboxSpec};

/// What the suite needs of a driver under test.
pub trait Fixture {
    /// The driver.
    fn driver(&self) -> &dyn Driver;

    /// A sandbox in this room whose init obeys the suite's orders.
    fn spec(&self, room: &Room) -> SandboxSpec;
}

/// Makes one test of every promise, on a new fixture each.
#[macro_export]
macro_rules! behaviour_suite {
    ($fixture:expr) => {
        $crate::behaviour_suite!(@each $fixture;
            nothing_runs_before_the_start
            the_exit_code_comes_back_and_stays
            nothing_moves_while_frozen
            what_is_frozen_can_be_killed
            killing_twice_is_no_error
            too_much_memory_is_killed_and_counted
            too_many_processes_are_refused_and_counted
            no_limit_is_looser_than_the_permit
            a_specification_that_contradicts_itself_is_refused
            destroying_ends_what_runs
            dropping_ends_what_runs
            what_was_never_started_can_be_destroyed
        );
    };
    (@each $fixture:expr; $($promise:ident)+) => {
        $(
            #[test]
            fn $promise() {
                $crate::suite::$promise(&$fixture);
            }
        )+
    };
}

/// Plays the suite's init for the simulated driver.
#[must_use]
pub fn obey(inside: &Inside, mut stream: UnixStream) -> SandboxEnd {
    let hung_up = SandboxEnd::Code(6);
    let Ok(copy) = stream.try_clone() else {
        return hung_up;
    };
    for line in BufReader::new(copy).lines() {
        let order: Vec<String> =
            line.ok().and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_default();
        let (first, rest) = order.split_first().map_or(("", &[][..]), |(f, r)| (f.as_str(), r));
        let number: u64 = rest.first().and_then(|text| text.parse().ok()).unwrap_or(0);
        let answer = match first {
            "exit" => return SandboxEnd::Code(u8::try_from(number).unwrap_or(u8::MAX)),
            "echo" => rest.join(" "),
            "allocate" if inside.allocate(number) => "code 0".to_owned(),
            "allocate" => "signal 9".to_owned(),
            "processes" => inside.spawn(number).to_string(),
            other => format!("unknown order {other:?}"),
        };
        let line = serde_json::to_string(&answer).unwrap_or_default();
        if !inside.step(|| writeln!(stream, "{line}").is_ok()).unwrap_or(false) {
            return hung_up;
        }
    }
    hung_up
}

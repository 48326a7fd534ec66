//! The life cycle that the drivers share: no sequence of requests and observations leads astray.

use custody_model::Timestamp;
use custody_model::state::sandbox::{SandboxEnd, SandboxState};
use custody_sandbox::{Lifecycle, Observation, Request, Step};
use proptest::prelude::*;

fn observation() -> impl Strategy<Value = Observation> {
    prop_oneof![
        Just(Observation::Made),
        Just(Observation::Started),
        Just(Observation::Frozen),
        Just(Observation::Thawed),
        Just(Observation::Ended(SandboxEnd::Code(0))),
        Just(Observation::Failed("no".to_owned())),
        Just(Observation::Removed),
    ]
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

proptest! {
    #[test]
    fn an_observation_that_can_not_be_changes_nothing(
        seen in prop::collection::vec(observation(), 0..20),
    ) {
        let mut life = Lifecycle::new(at(0));
        for (i, seen) in (1..).zip(seen) {
            let before = life.clone();
            if life.observe(seen, at(i)).is_err() {
                prop_assert_eq!(&life, &before);
            }
        }
    }

    #[test]
    fn what_is_to_be_done_can_be_seen_to_happen(
        seen in prop::collection::vec(observation(), 0..20),
    ) {
        let mut life = Lifecycle::new(at(0));
        for (i, seen) in (1..).zip(seen) {
            for (request, follows) in [
                (Request::Start, Observation::Started),
                (Request::Freeze, Observation::Frozen),
                (Request::Thaw, Observation::Thawed),
                (Request::Kill, Observation::Ended(SandboxEnd::Signal(9))),
            ] {
                if life.ask(request) == Ok(Step::Do(request)) {
                    prop_assert!(life.clone().observe(follows, at(i)).is_ok());
                }
            }
            // A refused one leaves the state, as the other property says.
            let _ = life.observe(seen, at(i));
        }
    }

    #[test]
    fn once_destroyed_nothing_can_be_asked(
        seen in prop::collection::vec(observation(), 0..20),
    ) {
        let mut life = Lifecycle::new(at(0));
        for (i, seen) in (1..).zip(seen) {
            let _ = life.observe(seen, at(i));
        }
        if matches!(life.state(), SandboxState::Destroyed { .. }) {
            for request in [Request::Start, Request::Freeze, Request::Thaw, Request::Kill] {
                prop_assert!(life.ask(request).is_err());
            }
        }
    }
}

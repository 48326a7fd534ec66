//! Leases: one holder at a time, and room for so many.

use custody_model::Timestamp;

use super::rows::{project_name, second, session_id, user_name};
use crate::{Holder, LeaseRow, Room, Store, Taken};

fn lease(session: u64, holder: &str, until: u64) -> LeaseRow {
    LeaseRow {
        session: session_id(session),
        holder: Holder::new(holder),
        until: second(until),
        user: user_name("ada"),
        project: project_name("core"),
    }
}

async fn ask(store: &dyn Store, lease: &LeaseRow, now: u64, room: &Room) -> Taken {
    store.lease(lease, second(now), room).await.expect("an answer")
}

async fn held(store: &dyn Store) -> Vec<LeaseRow> {
    store.leases().await.expect("a read")
}

/// Until its time is over nobody else gets it.
pub async fn a_lease_is_held_until_it_runs_out(store: &dyn Store) {
    let (a, b) = (lease(1, "a", 10), lease(1, "b", 30));
    assert_eq!(ask(store, &a, 0, &Room::ENDLESS).await, Taken::Taken);
    for now in [0, 5, 9] {
        assert_eq!(ask(store, &b, now, &Room::ENDLESS).await, Taken::Held);
        assert_eq!(held(store).await, std::slice::from_ref(&a));
    }
    let last = Timestamp::from_micros(second(10).as_micros() - 1);
    assert_eq!(store.lease(&b, last, &Room::ENDLESS).await.expect("an answer"), Taken::Held);
    assert_eq!(ask(store, &b, 10, &Room::ENDLESS).await, Taken::Taken);
    assert_eq!(held(store).await, std::slice::from_ref(&b));
    assert_eq!(ask(store, &a, 11, &Room::ENDLESS).await, Taken::Held);
}

/// Its holder renews it, before and after its time is over, and with no room left.
pub async fn a_lease_is_renewed_by_whoever_holds_it(store: &dyn Store) {
    let none = Room { running: 0, per_user: 0, per_project: 0 };
    assert_eq!(ask(store, &lease(1, "a", 10), 0, &Room::ENDLESS).await, Taken::Taken);
    assert_eq!(ask(store, &lease(1, "a", 20), 5, &none).await, Taken::Taken);
    assert_eq!(ask(store, &lease(1, "b", 30), 15, &none).await, Taken::Held);
    assert_eq!(ask(store, &lease(1, "a", 90), 50, &none).await, Taken::Taken);
    assert_eq!(held(store).await, [lease(1, "a", 90)]);
}

/// Only its holder gives it back; then it is anybody's, and its room is free.
pub async fn a_lease_is_given_back_by_whoever_holds_it(store: &dyn Store) {
    let one = Room { running: 1, ..Room::ENDLESS };
    assert_eq!(ask(store, &lease(1, "a", 10), 0, &one).await, Taken::Taken);
    store.release(session_id(1), &Holder::new("b")).await.expect("no error");
    store.release(session_id(2), &Holder::new("a")).await.expect("no error");
    assert_eq!(held(store).await, [lease(1, "a", 10)]);
    assert_eq!(ask(store, &lease(2, "a", 10), 1, &one).await, Taken::Full);
    store.release(session_id(1), &Holder::new("a")).await.expect("no error");
    assert!(held(store).await.is_empty());
    store.release(session_id(1), &Holder::new("a")).await.expect("twice is no error");
    assert_eq!(ask(store, &lease(2, "b", 10), 2, &one).await, Taken::Taken);
}

/// Each of the three limits is one.
pub async fn room_is_counted_by_machine_user_and_project(store: &dyn Store) {
    let of = |session, user: &str, project: &str| LeaseRow {
        user: user_name(user),
        project: project_name(project),
        ..lease(session, "a", 100)
    };
    let room = Room { running: 5, per_user: 2, per_project: 3 };
    let steps = [
        (of(1, "ada", "core"), Taken::Taken),
        (of(2, "ada", "core"), Taken::Taken),
        // ada has two.
        (of(3, "ada", "web"), Taken::Full),
        (of(3, "bob", "core"), Taken::Taken),
        // core has three.
        (of(4, "bob", "core"), Taken::Full),
        (of(4, "bob", "web"), Taken::Taken),
        (of(5, "eve", "web"), Taken::Taken),
        // The machine has five.
        (of(6, "eve", "docs"), Taken::Full),
        // What is held is renewed all the same.
        (of(5, "eve", "web"), Taken::Taken),
    ];
    for (lease, expected) in &steps {
        assert_eq!(ask(store, lease, 1, &room).await, *expected, "{lease:?}");
    }
    let sessions: Vec<_> = held(store).await.into_iter().map(|lease| lease.session).collect();
    assert_eq!(sessions, (1..=5).map(session_id).collect::<Vec<_>>());
    store.release(session_id(1), &Holder::new("a")).await.expect("no error");
    assert_eq!(ask(store, &of(6, "eve", "docs"), 1, &room).await, Taken::Taken);
}

/// A session whose holder died has its place already; until somebody takes it over, the place is not free.
pub async fn what_ran_out_is_taken_over_without_a_look_at_the_room(store: &dyn Store) {
    let one = Room { running: 1, per_user: 1, per_project: 1 };
    assert_eq!(ask(store, &lease(1, "a", 10), 0, &one).await, Taken::Taken);
    assert_eq!(ask(store, &lease(2, "b", 90), 50, &one).await, Taken::Full);
    assert_eq!(ask(store, &lease(1, "b", 90), 50, &one).await, Taken::Taken);
    assert_eq!(held(store).await, [lease(1, "b", 90)]);
}

/// However often two ask for one session at the same moment, exactly one gets it.
pub async fn of_two_that_ask_at_once_one_gets_the_lease(store: &dyn Store) {
    for session in 0..40 {
        let (a, b) = (lease(session, "a", 10), lease(session, "b", 10));
        let answers =
            tokio::join!(ask(store, &a, 0, &Room::ENDLESS), ask(store, &b, 0, &Room::ENDLESS));
        let winner = match answers {
            (Taken::Taken, Taken::Held) => a,
            (Taken::Held, Taken::Taken) => b,
            other => panic!("one gets it, the other is told: {other:?}"),
        };
        assert!(held(store).await.contains(&winner));
    }
}

/// However many ask for the last place at the same moment, one gets it.
pub async fn the_last_place_is_given_once(store: &dyn Store) {
    for round in 0..20 {
        let of = |n| lease(round * 10 + n, "a", 10);
        let room = Room { running: round + 1, ..Room::ENDLESS };
        let leases = [of(0), of(1), of(2), of(3)];
        let (a, b, c, d) = tokio::join!(
            ask(store, &leases[0], 0, &room),
            ask(store, &leases[1], 0, &room),
            ask(store, &leases[2], 0, &room),
            ask(store, &leases[3], 0, &room)
        );
        let answers = [a, b, c, d];
        assert_eq!(answers.iter().filter(|a| **a == Taken::Taken).count(), 1, "{answers:?}");
        assert_eq!(answers.iter().filter(|a| **a == Taken::Full).count(), 3, "{answers:?}");
    }
}

//! The one behaviour suite of stores. The tests of an implementation call [`behaviour_suite!`](crate::behaviour_suite)
//! with an async function that makes an empty store; every promise of the contract becomes a test of theirs.

mod files;
mod leases;
mod lists;
mod outputs;
mod pages;
mod retention;
mod rows;
mod sessions;
mod units;
mod visibility;
mod whole;

pub use self::files::*;
pub use self::leases::*;
pub use self::lists::*;
pub use self::outputs::*;
pub use self::retention::*;
pub use self::rows::{Random, all_of_one_session, project, session, session_id, unit};
pub use self::sessions::*;
pub use self::units::*;
pub use self::visibility::*;
pub use self::whole::*;

/// Makes one test of every promise, each on a store of its own.
///
/// `$make_store` is an async function without arguments. It gives a pair: a pointer to an empty [`Store`](crate::Store)
/// (`Arc<dyn Store>`, `Box<…>`), and whatever has to live as long as the store. The caller's crate needs `tokio` with
/// `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! behaviour_suite {
    ($make_store:path) => {
        $crate::behaviour_suite!(@each $make_store;
            a_unit_from_a_stale_control_event_saves_nothing
            a_unit_from_a_stale_event_of_a_record_saves_nothing
            of_units_from_the_same_event_one_is_saved
            a_unit_that_fails_half_way_saves_nothing
            a_row_replaces_the_one_with_its_key
            of_two_rows_with_one_key_in_a_unit_the_later_stays
            an_idempotency_key_names_one_session_of_a_requester
            every_row_is_read_as_it_was_saved
            what_is_not_there_is_absent
            names_are_listed_byte_by_byte
            the_newest_is_listed_first
            pages_of_every_size_make_up_the_list
            rows_that_come_meanwhile_hide_and_double_none
            a_cursor_that_no_page_gave_is_refused
            every_filter_in_every_order_gives_what_it_says
            the_pages_of_every_filter_make_up_its_list
            sessions_that_come_meanwhile_hide_and_double_none
            sessions_that_change_are_listed_by_their_last_change
            sessions_in_a_state_come_oldest_first
            ten_thousand_sessions_are_listed_by_page
            everybody_sees_what_is_theirs_and_nothing_else
            whoever_sees_nothing_gets_an_empty_page
            many_projects_are_seen_in_one_order
            an_id_is_found_by_any_beginning
            what_has_an_end_comes_in_the_order_of_the_ends
            a_session_is_due_at_the_end_of_its_class_and_not_a_moment_before
            what_is_held_is_listed_until_it_is_released
            paths_of_any_bytes_come_back
            long_paths_are_paged_through
            touches_are_those_whose_time_overlaps
            touches_are_the_latest_of_another_session_in_the_repository
            touches_of_ten_thousands_of_paths_are_found
            commits_come_in_the_order_of_the_branch
            commits_are_found_by_id_tree_and_content
            a_lease_is_held_until_it_runs_out
            a_lease_is_renewed_by_whoever_holds_it
            a_lease_is_given_back_by_whoever_holds_it
            room_is_counted_by_machine_user_and_project
            what_ran_out_is_taken_over_without_a_look_at_the_room
            of_two_that_ask_at_once_one_gets_the_lease
            the_last_place_is_given_once
            clearing_leaves_the_leases_and_nothing_else
            the_order_of_filling_leaves_no_trace
            a_dump_tells_every_row_and_every_change
        );
    };
    (@each $make_store:path; $($promise:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $promise() {
                let (store, _guard) = $make_store().await;
                $crate::suite::$promise(&*store).await;
            }
        )+
    };
}

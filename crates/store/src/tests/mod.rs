//! One suite for every store: named cases, and random sequences of operations whose answers are
//! those of a reference, which is the specification in code.

mod accounts;
mod behaviour;
mod fixtures;
#[cfg(feature = "postgres")]
mod postgres;
mod random;
mod sharing;

/// The tests of one implementation, each in a place that an expression gives; `None` skips it.
macro_rules! suite {
    ($name:ident, $place:expr) => {
        mod $name {
            use super::*;

            suite! { @ behaviour, $place =>
                what_is_committed_is_there_after_opening_again
                a_change_of_another_version_changes_nothing
                a_list_ends_at_its_bytes
                a_name_belongs_to_one_task
                a_task_that_is_refused_takes_no_name
                who_has_lost_the_lease_changes_nothing
                due_tasks_come_in_order_and_in_pages
                old_output_goes_first
                only_blobs_without_tasks_are_pruned
                chunks_go_with_what_names_their_pack
                a_batch_with_a_base_that_is_not_there_changes_nothing
                a_step_of_a_move_is_whole
                a_wall_clock_that_is_set_moves_what_waits_for_it_alone
            }
            suite! { @ accounts, $place =>
                tokens_are_found_by_their_digests_until_they_are_removed
                a_tenants_number_is_never_anothers
                names_and_lists_are_a_tenants_own
            }
            suite! { @ sharing, $place =>
                a_claimed_task_is_given_once
                a_new_task_may_be_its_nodes_at_once
                a_node_that_is_fenced_can_do_nothing
                who_leaves_gives_all_back
                what_is_given_back_is_nobodys
                numbers_are_given_once
            }
        }
    };
    // Of stores that several nodes can share.
    (shared $name:ident, $place:expr) => {
        mod $name {
            use super::*;

            suite! { @ sharing, $place =>
                a_task_of_another_node_is_left_alone
                nodes_know_each_other
                a_node_goes_on_where_an_earlier_one_has_ended
                a_node_takes_its_own_tasks_first
                a_node_takes_only_classes_that_it_serves
                a_task_is_given_to_another_node
                the_tasks_of_a_dead_node_go_on_elsewhere
                tasks_are_claimed_once_in_a_race
            }
        }
    };
    (@ $module:ident, $place:expr => $($case:ident)*) => {
        $(
            #[test]
            fn $case() {
                if let Some(place) = $place {
                    $module::$case(&place);
                }
            }
        )*
    };
}

suite!(sqlite, Some(fixtures::Directory::new()));
suite!(in_maps, Some(fixtures::reference()));
suite!(shared in_maps_shared, Some(fixtures::reference()));
#[cfg(feature = "postgres")]
suite!(in_postgres, postgres::Database::new());
#[cfg(feature = "postgres")]
suite!(shared in_postgres_shared, postgres::Database::new());

mod same_answers {
    use super::*;

    #[test]
    fn sqlite_answers_as_the_reference() {
        random::same_answers(96, || Some(fixtures::Directory::new()));
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn postgres_answers_as_the_reference() {
        random::same_answers(24, postgres::Database::new);
    }
}

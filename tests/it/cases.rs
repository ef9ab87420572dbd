//! Whole starts as scenario directories: `tests/cases/boot/<claim>/` (see `scenario` for what
//! stands in one). The names are the claims.

use std::collections::BTreeSet;

use crate::scenario;

/// Makes a test of each scenario.
macro_rules! scenarios {
    ($($claim:ident)*) => {
        const CLAIMS: &[&str] = &[$(stringify!($claim)),*];
        $(#[test] fn $claim() { scenario::check(stringify!($claim)); })*
    };
}

scenarios! {
    a_broken_foreign_key_is_refused_before_the_commit
    a_byte_order_mark_and_windows_line_ends_are_read
    a_changed_script_is_only_reported_with_migration_off
    a_changed_script_is_refused
    a_database_that_does_not_exist_is_named
    a_database_url_may_come_from_a_file
    a_dependency_comes_before_who_depends_on_it
    a_dependency_that_does_not_answer_is_named
    a_directory_without_scripts_is_a_configuration_fault
    a_diverged_database_is_refused_even_where_ahead_is_allowed
    a_down_section_is_not_run
    a_failing_hook_is_repeated_by_the_next_start
    a_failing_reindex_is_repeated_by_the_next_start
    a_failing_third_statement_leaves_nothing_of_its_revision
    a_file_that_is_no_database_is_named
    a_file_that_is_not_there_is_named
    a_fixed_script_is_applied_after_its_failure
    a_hook_does_not_run_where_a_revision_failed
    a_hook_that_is_added_later_runs_once
    a_hook_that_is_killed_is_told_with_the_signal
    a_hook_that_is_not_found_is_named
    a_label_at_head_is_the_head_of_its_branch
    a_log_level_that_another_program_understands_is_the_default
    a_memory_database_is_a_configuration_fault
    a_merge_comes_after_both_its_parents
    a_migration_url_is_where_revisions_go
    a_missing_migrations_directory_is_a_configuration_fault
    a_missing_parent_is_named
    a_near_miss_is_told_with_the_name_that_was_meant
    a_quote_that_is_not_closed_is_named_where_it_opens
    a_reindex_that_is_asked_for_runs_with_migration_off
    a_reindexed_name_takes_the_place_of_the_braces
    a_relative_sqlite_path_is_below_the_working_directory
    a_revision_that_is_its_own_parent_is_named
    a_revision_that_is_put_in_below_applied_ones_is_refused
    a_ring_of_revisions_is_named
    a_script_may_be_without_statements
    a_script_without_a_revision_is_named
    a_script_without_a_transaction_runs_statement_by_statement
    a_script_without_a_transaction_that_fails_goes_on_where_it_stopped
    a_script_without_an_up_section_for_the_engine_is_named
    a_second_start_has_nothing_to_do
    a_server_that_cannot_be_run_ends_with_126
    a_server_that_is_not_found_ends_with_127
    a_sqlalchemy_url_is_understood
    a_statement_about_transactions_is_refused_in_a_script
    a_statement_that_has_run_may_not_be_changed_before_the_next_try
    a_tag_title_down_section_or_blank_that_is_added_later_changes_nothing
    a_target_behind_is_refused_and_reverts_nothing
    a_target_behind_is_refused_even_where_ahead_is_allowed
    a_target_tag_stops_there
    a_target_that_is_a_unique_prefix_is_reached
    a_target_that_moves_at_each_start_is_a_configuration_fault
    a_value_and_its_file_together_are_a_fault
    a_wrong_password_is_named
    an_ambiguous_prefix_lists_whom_it_could_mean
    an_empty_variable_is_as_if_it_were_unset
    an_older_image_is_only_reported_with_migration_off
    an_older_image_is_refused
    an_older_image_starts_where_it_is_allowed
    an_unknown_header_key_is_named_with_its_line
    an_unknown_subcommand_is_a_usage_error
    an_unknown_target_is_answered_by_what_is_near
    check_and_wait_run_no_hook
    check_at_head_starts
    check_fails_on_an_empty_database_and_changes_nothing
    check_fails_on_what_is_pending
    each_engine_runs_its_own_sections
    every_configuration_fault_is_told_at_once
    every_unsound_script_is_named_at_once
    hooks_find_the_database_of_the_migration
    line_ends_may_change_after_the_fact
    migrating_needs_a_database
    no_hook_runs_with_migration_off
    no_termination_log_is_made_where_there_is_none
    off_starts_with_unsound_scripts_and_says_so
    off_starts_without_scripts
    off_warns_about_what_is_pending_and_starts
    off_without_a_database_starts_the_server
    one_of_several_heads_is_reached_and_the_other_left
    only_failures_are_told_where_only_errors_are_asked_for
    our_own_log_level_is_held_to_its_words
    our_own_names_beat_those_of_the_application
    reindex_auto_rebuilds_what_the_revisions_since_ask_for
    reindex_names_are_given_one_by_one
    reindex_true_rebuilds_all_at_every_start_that_asks
    reindexing_needs_a_command
    run_with_dashes_and_nothing_behind_them_is_a_usage_error
    run_without_a_server_ends_with_success
    several_heads_are_applied_where_all_are_asked_for
    several_heads_are_refused_in_words_that_say_how_to_merge
    the_hook_runs_once_for_each_set_of_heads
    the_prefix_of_the_application_is_read
    the_server_does_not_see_what_was_only_ours
    the_termination_log_has_the_last_words_of_a_failure
    the_termination_log_stays_empty_on_success
    the_version_is_told
    truth_is_said_in_many_words
    twelve_revisions_are_applied_and_the_server_starts
    two_scripts_with_one_id_are_both_named
    wait_at_head_starts
    wait_ends_at_its_deadline_with_what_is_pending
    what_cannot_run_in_a_transaction_is_refused_before_the_lock
    what_was_created_by_others_before_stays
}

#[test]
fn every_scenario_is_listed() {
    let listed: BTreeSet<String> = CLAIMS.iter().map(ToString::to_string).collect();
    assert_eq!(
        scenario::all(),
        listed,
        "tests/cases/boot/ and the list in tests/it/cases.rs differ"
    );
}

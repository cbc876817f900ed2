"""The table of cases: none without a test, and no deviation that is not tested.

The tests are read, not run. `@deviates("counts")` above a test says that it states its
case in the way that docs/compatibility.md tells.
"""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "compatibility.md"

# What Ruby Resque does, of itself, and the tests that state it.
CASES = {
    "enqueue adds the queue's name to the set and the job at the tail": (
        "test_enqueue_adds_the_name_to_the_set_and_the_job_at_the_tail",
    ),
    "enqueue without arguments writes an empty list": (
        "test_enqueue_without_arguments_writes_an_empty_list",
    ),
    "enqueue_to overrides the queue": (
        "test_enqueue_to_overrides_the_queue",
        "test_a_class_of_another_language_is_enqueued_by_its_name",
    ),
    "special characters are written raw": ("test_special_characters_are_written_raw",),
    "an empty class name is refused": ("test_an_empty_class_or_queue_name_is_refused",),
    "inline mode writes nothing": ("test_inline_mode_writes_nothing",),
    "dequeue without arguments removes all of the class": (
        "test_dequeue_without_arguments_removes_all_of_the_class",
        "test_dequeue_searches_a_long_queue_in_batches",
        "test_dequeue_with_arguments_compares_bytes",
    ),
    "dequeue of the last job leaves the queue's name": (
        "test_dequeue_of_the_last_job_leaves_the_name_of_the_queue",
    ),
    "reserve takes from the head and writes nothing": (
        "test_reserve_takes_from_the_head_and_writes_nothing",
    ),
    "reserve on an empty or unknown queue": (
        "test_reserve_on_an_empty_or_unknown_queue_finds_nothing",
    ),
    "a worker registers": ("test_a_worker_registers_and_writes_a_heartbeat",),
    "a worker beats": ("test_a_worker_registers_and_writes_a_heartbeat",),
    "a worker is done with its job": (
        "test_a_job_that_is_done_is_counted_and_its_record_is_gone",
        "test_the_record_holds_the_payload_while_a_job_runs",
    ),
    "a worker counts a failure": (
        "test_a_failure_is_counted_as_processed_and_as_failed",
    ),
    "a busy worker is unregistered: its job failed": (
        "test_a_busy_worker_that_is_removed_leaves_a_failure",
        "test_a_worker_that_is_not_there_cannot_be_removed",
        "test_a_worker_that_dies_with_a_job_leaves_a_failure",
    ),
    "a whole run of one successful job": (
        "test_a_successful_job_leaves_its_count_and_no_more",
    ),
    "further keys and their order survive into failed": (
        "test_further_keys_of_a_payload_stand_in_its_failure",
    ),
    "a child killed by a signal": (
        "test_a_child_that_a_signal_kills_leaves_a_failure",
        "test_a_child_that_exits_with_a_status_leaves_a_failure",
    ),
    "a job that exits is an ordinary failure": (
        "test_a_job_that_calls_exit_is_an_ordinary_failure",
    ),
    "an unknown class": (
        "test_a_job_of_an_unknown_class_fails",
        "test_a_class_is_found_by_its_exact_name_only",
    ),
    "null on a queue": ("test_null_is_a_failure_and_the_next_queue_is_served",),
    "what is not JSON on a queue": (
        "test_what_is_not_json_is_kept_and_the_worker_goes_on",
        "test_every_element_that_is_no_job_becomes_one_failure",
    ),
    "a star serves queues in byte order": (
        "test_a_star_serves_queues_in_byte_order",
        "test_a_queue_name_that_is_not_utf8_stops_no_worker",
    ),
    "excluded queues": ("test_excluded_queues_are_not_served_and_not_in_the_id",),
    "a literal queue that is not registered is served": (
        "test_a_queue_that_is_not_in_the_set_is_served_by_its_name",
    ),
    "pause-all-workers holds every job": (
        "test_pause_all_workers_holds_every_job",
        "test_other_values_of_pause_all_workers_do_not_pause",
    ),
    "a silent busy worker is pruned": (
        "test_a_busy_worker_whose_heartbeat_is_over_300_s_old_is_pruned",
        "test_an_idle_worker_that_is_pruned_leaves_nothing",
    ),
    "a heartbeat of 200 s is left alone": (
        "test_a_worker_whose_heartbeat_is_200_s_old_is_left_alone",
    ),
    "a worker of this host with other queues is left alone": (
        "test_a_worker_that_never_wrote_a_heartbeat_is_left_alone",
    ),
    "nothing is pruned while the lock is held": (
        "test_nothing_is_pruned_while_the_lock_is_held",
    ),
    "a failure is retried twice": (
        "test_a_retried_failure_is_retried_again_once_it_is_read_again",
    ),
    "a failure that is not there is retried": (
        "test_a_failure_that_is_gone_is_not_retried",
        "test_a_failure_without_a_job_is_not_retried",
    ),
    "a failure that is not there is removed": (
        "test_a_failure_that_is_gone_is_not_removed",
    ),
    "the failures of one queue are retried": (
        "test_the_failures_of_one_queue_are_retried",
    ),
    "all failures are retried, and the retried ones cleared": (
        "test_all_failures_are_retried_and_the_retried_ones_cleared",
        "test_retry_all_leaves_out_what_was_retried_before",
        "test_equal_failures_are_cleared_on_every_page",
    ),
    "the failures are cleared": (
        "test_clear_removes_all_failures_and_answers_how_many",
    ),
    "numbers are written anew on their way to failed": (
        "test_numbers_are_encoded_again_on_their_way_to_failed",
    ),
    "an idle worker is told to quit": ("test_an_idle_worker_leaves_at_once",),
    "TERM during a job, without TERM_CHILD": (
        "test_term_ends_the_job_as_under_term_child",
    ),
    "TERM during a job, with TERM_CHILD": (
        "test_term_ends_the_job_as_under_term_child",
        "test_a_job_that_cleans_up_after_term_and_returns_is_a_success",
    ),
    "TERM during a job that swallows it": (
        "test_a_job_that_ignores_term_is_killed_after_the_grace",
    ),
    "TERM with time for the job to end": ("test_quit_waits_for_the_job",),
    "USR1 during a job": (
        "test_usr1_drops_the_job_and_the_next_one_runs",
        "test_usr1_without_a_job_does_nothing",
    ),
    "USR2 during a job, and CONT": (
        "test_usr2_pauses_after_the_job_in_hand_until_cont",
    ),
    "a worker was killed, another starts after a minute": (
        "test_a_worker_that_died_on_this_machine_is_pruned_at_once",
        "test_a_worker_without_its_master_ends_its_job_and_leaves",
    ),
    "a worker was killed, another starts within a minute": (
        "test_a_worker_that_died_on_this_machine_is_pruned_at_once",
    ),
    "a Ruby worker starts beside a worker of another program": (
        "test_a_starting_ruby_worker_finds_our_workers_in_ps",
    ),
    "heartbeats while a worker lives": (
        "test_heartbeats_are_written_by_the_clock_of_the_server",
    ),
    # Hooks
    "a before_enqueue hook that answers false stops the push": (
        "test_a_before_enqueue_hook_that_answers_false_stops_the_push",
        "test_only_false_is_a_veto",
        "test_a_before_enqueue_hook_that_raises_stops_the_push",
        "test_a_before_dequeue_hook_that_answers_false_leaves_the_job",
    ),
    "an after_enqueue hook that raises does not undo the push": (
        "test_an_after_enqueue_hook_that_raises_does_not_undo_the_push",
        "test_an_after_dequeue_hook_that_raises_does_not_undo_it",
    ),
    "DontPerform in before_perform: processed, not failed": (
        "test_the_hooks_around_a_job_decide_its_outcome",
        "test_inline_hooks_run_and_nothing_is_written",
    ),
    "DontPerform anywhere else: an ordinary failure": (
        "test_the_hooks_around_a_job_decide_its_outcome",
    ),
    "around_perform that swallows the error: a success": (
        "test_the_hooks_around_a_job_decide_its_outcome",
    ),
    "after_perform that raises: a failure": (
        "test_the_hooks_around_a_job_decide_its_outcome",
    ),
    # Delayed jobs
    "enqueue_at in the future": ("test_a_job_in_the_future_waits_in_three_keys",),
    "enqueue_at now or in the past is a plain enqueue": (
        "test_a_job_whose_time_has_come_is_enqueued_at_once",
    ),
    "remove_delayed": ("test_cancelling_leaves_nothing",),
    "remove_delayed_job_from_timestamp": ("test_cancelling_leaves_nothing",),
    "a due bucket is moved to the queues": (
        "test_due_items_go_to_their_queues_without_the_key_queue",
        "test_items_of_every_form_lose_their_queue_alone",
        "test_an_item_without_a_queue_becomes_a_failure",
    ),
    "a time whose list is gone is cleaned": (
        "test_a_time_whose_list_is_gone_is_cleaned",
    ),
    "reset_delayed_queue": ("test_clearing_leaves_nothing",),
    # Recurring jobs
    "set_schedule, persistent or not, and remove_schedule": (
        "test_only_schedules_that_persist_are_read_from_redis",
    ),
}

CASES |= {
    "multi-queue backend: requeue writes retried_at without a zone": (
        "test_a_retry_writes_the_time_without_a_zone",
    ),
    "multi-queue backend: clear deletes the lists and keeps the names": (
        "test_clear_deletes_the_lists_and_keeps_the_names",
        "test_each_queue_has_its_list",
    ),
    "resque-retry: the first attempt fails": (
        "test_a_first_attempt_that_fails_waits_for_the_next_one",
    ),
    "resque-retry: a success after a retry removes the counter": (
        "test_a_success_after_a_retry_removes_the_counter",
        "test_attempts_that_ruby_has_counted_count",
    ),
}

# What no case is about.
BESIDE = {
    "test_failures_of_node_are_retried_as_ruby_retries_them",
    "test_a_failure_is_found_by_the_beginning_of_its_id",
    "test_a_queue_of_another_type_stops_no_other_item",
    "test_a_wrong_back_end_is_a_configuration_error",
    "test_commands_know_the_lists",
    "test_failures_of_all_lists_are_one_page_by_time",
    "test_a_time_whose_key_is_no_list_stops_no_other",
}

ROW = re.compile(r"\| `([\w-]+)` \| (.+) \| (.+) \| (.+) \|")


@cache
def statements() -> dict[str, set[str]]:
    """Return every test with the deviations that it states."""
    found = [
        node
        for path in sorted({*HERE.glob("test_wire_*.py")} - {Path(__file__)})
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    names = [node.name for node in found]
    assert len(names) == len(set(names)), "two tests have one name"
    return {node.name: deviations(node) for node in found}


def deviations(node: ast.FunctionDef) -> set[str]:
    return {
        argument.value
        for call in node.decorator_list
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "deviates"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }


def rows() -> list[tuple[str, ...]]:
    """Return the rows of the table of deviations."""
    lines = DOCUMENT.read_text("utf-8").splitlines()
    return [found.groups() for line in lines if (found := ROW.fullmatch(line))]


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_tests(case: str) -> None:
    assert CASES[case]
    assert set(CASES[case]) <= statements().keys()


def test_every_test_states_a_case_or_a_deviation() -> None:
    listed = {name for names in CASES.values() for name in names}
    ours = {name for name, deviations in statements().items() if not deviations}
    assert ours - listed == BESIDE


def test_every_deviation_is_told_and_tested() -> None:
    told = [name for name, *_ in rows()]
    tested = set().union(*statements().values())
    assert len(told) == len(set(told))
    assert set(told) == tested


def test_every_deviation_has_its_reason() -> None:
    # The rows of a table are told from other lines by their first cell.
    lines = DOCUMENT.read_text("utf-8").splitlines()
    assert len(rows()) == sum(line.startswith("| `") for line in lines)
    assert all(cell.endswith((".", ".`")) for row in rows() for cell in row[1:])

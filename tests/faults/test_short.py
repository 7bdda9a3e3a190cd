"""A sample of what `make faults` tries in full, and proof that the harness sees what is wrong where something is."""

from errno import EIO, ENOSPC
from itertools import islice
from pathlib import PurePosixPath

import pytest

from faults import damage, hostile, kills, misplaced, names, power, races, rows, settings
from faults.kills import SIGKILL
from faults.tally import PROMISED, SILENT, STOPPED, Tally, merged


def assert_kept(tallies: list[Tally]) -> None:
    for tally in tallies:
        assert tally.kept, f"{tally.fault}: {dict(tally.outcomes)}\n" + "\n".join(tally.examples)


def counted(trials, bench) -> list[Tally]:
    tallies, seen = kills.count(kills.tried(trials, bench.scratch))
    return [*tallies, seen]


@pytest.mark.parametrize(("fault", "first"), [(SIGKILL, 0), (ENOSPC, 11), (EIO, 23)])
def test_a_stage_that_is_cut_short_leaves_the_same_tree_when_run_again(bench, fault, first):
    assert_kept(counted(islice(kills.every_event(bench.stages, fault), first, None, 35), bench))


def test_an_io_error_in_a_checkpoint_is_told_as_one(bench):
    stage = next(stage for stage in bench.stages if stage.name == "generation, answers reused")
    trials = kills.every_event([stage], EIO)
    opened = [trial for trial in trials if "iter_01/checkpoint" in stage.events[trial.cuts[0] - 1]]
    assert len(opened) > 10
    assert_kept(counted(opened[::2], bench))


def test_so_does_one_that_is_killed_three_times(bench):
    assert_kept(counted(kills.triple_kills(bench.stages, 6), bench))


def test_so_does_one_that_loses_what_was_not_synced(bench):
    assert_kept([power.outages(bench.stages[1:3], bench.scratch)])


def test_names_that_readers_see_appear_by_a_link_or_a_rename_alone(bench):
    events = [event.partition(" ") for stage in bench.stages for event in stage.events]
    created = {PurePosixPath(path) for event, _, path in events if event == "create"}
    assert len(created) > 50
    assert not [path for path in created if not any(part.startswith(".") for part in path.parts)]


def test_damaged_files_are_refused_or_made_anew(bench):
    assert_kept(damage.tallied(damage.damaged(bench, bench.stages, 10, every=60), bench.scratch))


def test_missing_foreign_swapped_and_stray_files_are_refused_or_made_anew(bench):
    assert_kept(damage.tallied(islice(misplaced.misplaced(bench, bench.stages), 0, None, 7), bench.scratch))


def test_no_changed_setting_uses_what_an_older_one_made(bench):
    assert_kept(settings.stale_reuse(bench, every=12))


def test_bad_names_settings_secrets_models_and_rows_are_refused(bench):
    some = (names.refused_names, names.refused_overrides, hostile.hostile_folders)
    assert_kept([try_some(bench, every=5) for try_some in some])
    assert_kept([names.leaked_secrets(bench), rows.bad_rows(bench)])


def test_workers_on_the_same_shards_leave_every_row_once(bench):
    assert_kept([races.workers(bench, 1), races.undetermined_workers(bench, 1)])


def test_the_harness_sees_what_a_writer_without_the_protocol_breaks(bench):
    cut = merged("", counted(islice(kills.every_event(bench.naive[3:4], SIGKILL), 0, None, 8), bench))
    assert cut.outcomes[STOPPED] and cut.outcomes[SILENT] and cut.outcomes[PROMISED]
    flipped = merged("", damage.tallied(damage.damaged(bench, bench.naive[4:5], 10, every=6), bench.scratch))
    assert flipped.outcomes[SILENT]

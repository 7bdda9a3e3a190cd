import pyarrow as pa
import pytest

from store.errors import ConfigError, CorruptArtifact
from store.schemas import SFT
from training.preflight import FAULTS, NUM_NAMED, RowCheck

STOP = 2


def row(name, ids, mask):
    message = [{"role": "user", "content": ""}]
    return dict(
        question_id=name, init_index=1, corr_index=2, prompt=message, completion=message,
        input_ids=ids, completion_mask=mask,
    )  # fmt: skip


def checked(*tables, max_length=8):
    check = RowCheck(vocab_size=100, stop_token_ids=frozenset({STOP, 3}), max_length=max_length)
    for rows in tables:
        check.add(pa.Table.from_pylist(rows, schema=SFT))
    return check


GOOD = [row("a", [5, 6, 7, STOP], [0, 0, 1, 1]), row("b", [5, 3], [0, 1]), row("c", [9] * 7 + [3], [0] + [1] * 7)]
BAD = {
    FAULTS[0]: [row("x", [5, 6, STOP], [0, 1]), row("x", [], [])],
    FAULTS[1]: [
        row("x", [5, 6, 7, STOP], [0, 1, 0, 1]),
        row("x", [5, 6, STOP], [1, 0, 0]),
        row("x", [5, 6, STOP], [0, 2, 1]),
    ],
    FAULTS[2]: [row("x", [5, STOP], [1, 1])],
    FAULTS[3]: [row("x", [5, STOP], [0, 0])],
    FAULTS[4]: [row("x", [5, 6, 7], [0, 1, 1]), row("x", [5, STOP, 7], [0, 1, 1])],
    FAULTS[5]: [row("x", [5, 100, STOP], [0, 1, 1]), row("x", [-1, 6, STOP], [0, 1, 1])],
    FAULTS[6]: [row("x", [5] * 8 + [STOP], [0, *[1] * 8])],
}


def test_rows_that_can_be_trained_pass_and_are_counted():
    check = checked(GOOD[:2], GOOD[2:])
    check.refuse("sft", "make rows")
    assert (check.num_rows, check.num_tokens, check.num_trained, check.longest) == (3, 14, 10, 8)


def test_there_is_a_bad_row_for_every_fault():
    assert set(BAD) == set(FAULTS)


@pytest.mark.parametrize(("fault", "bad"), [(fault, bad) for fault, rows in BAD.items() for bad in rows])
def test_a_bad_row_among_good_ones_is_refused_by_name(fault, bad):
    for rows in ([bad, *GOOD], [*GOOD, bad], [bad]):
        check = checked(rows)
        assert fault in check.faults
        with pytest.raises((ConfigError, CorruptArtifact), match="x/1/2"):
            check.refuse("runs/demo/iter_00/sft", "python -m filtering")


def test_every_fault_is_counted_over_all_tables_and_three_rows_are_named():
    lost_stop = [row(f"q{i}", [5, 6], [0, 1]) for i in range(9)]
    check = checked([*GOOD, *lost_stop[:2]], lost_stop[2:])
    assert check.faults == {FAULTS[4]: (9, ["q0/1/2", "q1/1/2", "q2/1/2"])}
    assert len(check.faults[FAULTS[4]][1]) == NUM_NAMED
    with pytest.raises(CorruptArtifact, match=r"(?s)9 rows.*python -m filtering run=demo") as refusal:
        check.refuse("runs/demo/iter_00/sft", "python -m filtering run=demo iteration=0")
    assert "12 rows" in str(refusal.value)


def test_a_row_that_is_only_too_long_is_the_users_to_decide_and_is_never_cut():
    check = checked([*GOOD, *BAD[FAULTS[6]]])
    with pytest.raises(ConfigError, match=r"training\.max_length=9"):
        check.refuse("runs/demo/iter_00/sft", "python -m filtering")


def test_prompt_tokens_are_free_to_hold_stop_tokens_as_chat_templates_do():
    assert not checked([row("a", [STOP, 5, STOP, 6, STOP], [0, 0, 0, 1, 1])]).faults

"""Which pairs are kept, and why not the others: whatever their order, and exactly as many as was asked for."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import FILTERS_BY_TARGET
from conf.strategy import MATCHED
from filtering.filters import FILTERS, KEPT, UNUSABLE, Options, select

I, C = 0.0, 1.0  # noqa: E741  incorrect, correct


def pairs(
    initial, correction, question=None, content=None, truncated=(), empty=(), repeated=(), copy=()
) -> pl.DataFrame:
    """Pairs with these rewards; the others are distinct unless given, and row i is drawn i-th."""
    n = len(initial)
    rows = np.arange(n)
    return pl.DataFrame({
        "initial_reward": np.array(initial, dtype=np.float32),
        "correction_reward": np.array(correction, dtype=np.float32),
        "held_out": np.zeros(n, dtype=bool),
        "truncated": np.isin(rows, truncated),
        "empty": np.isin(rows, empty),
        "repeated": np.isin(rows, repeated),
        "wrong_verdict": np.zeros(n, dtype=bool),
        "copy": np.isin(rows, copy),
        "question": np.array(rows if question is None else question, dtype=np.int64),
        "content": np.array(rows if content is None else content, dtype=np.int64),
        "draw": rows.astype(np.int64),
    })  # fmt: skip


def reasons(some: pl.DataFrame, name: str, **options) -> list[str]:
    return select(some, name, Options(**options)).to_list()


def kept(some: pl.DataFrame, name: str, **options) -> list[int]:
    return pl.select(reason=select(some, name, Options(**options))).select(KEPT.arg_true()).to_series().to_list()


FOUR = pairs([I, C, C, I], [C, I, C, I])

EXPECTED = {
    "improving": ["improving", "degraded", "not_improving", "incorrect_twice"],
    "non_decreasing": ["improving", "degraded", "kept_correct", "incorrect_twice"],
    "equal_only": ["not_equal", "degraded", "kept_correct", "incorrect_twice"],
    "none": ["unfiltered"] * 4,
    "random_matched": ["random", "not_drawn", "not_drawn", "not_drawn"],
    "random_matched_non_decreasing": ["random", "random", "not_drawn", "not_drawn"],
    "random_matched_equal_only": ["random", "not_drawn", "not_drawn", "not_drawn"],
    "correct": ["initial_incorrect", "initial_correct", "initial_correct", "initial_incorrect"],
    "gold": ["gold"] * 4,
}


@pytest.mark.parametrize("name", FILTERS)
def test_all_four_transitions_under_every_filter(name):
    assert reasons(FOUR, name) == EXPECTED[name]


def test_with_a_binary_reward_every_threshold_is_the_same():
    for name in FILTERS:
        assert reasons(FOUR, name, threshold=0.01) == reasons(FOUR, name, threshold=1.0)


@pytest.mark.parametrize("name", FILTERS)
def test_truncated_empty_and_repeated_texts_are_never_kept(name):
    some = pairs([I, I, C, C, I], [C, C, C, C, C], truncated=[0, 2], empty=[1], repeated=[3])
    assert reasons(some, name)[:4] == ["truncated", "empty", "truncated", "repeated"]
    assert kept(some, name) == ([] if {name, MATCHED.get(name)} & {"equal_only", "correct"} else [4])


def test_every_filter_fits_what_is_trained():
    assert {name for names in FILTERS_BY_TARGET.values() for name in names} | {"gold"} == set(FILTERS)


def test_a_margin_makes_small_gains_equal():
    some = pairs([0.5, 0.5, 0.5, 0.1, 0.9], [0.9, 0.6, 0.45, 0.2, 0.5])
    assert reasons(some, "non_decreasing", margin=0.15, threshold=0.4) == [
        "improving", "kept_correct", "kept_correct", "incorrect_twice", "degraded",
    ]  # fmt: skip
    assert kept(some, "improving", margin=0.15) == [0]
    assert kept(some, "improving") == [0, 1, 3]
    crossing = pairs([0.45], [0.55])
    assert reasons(crossing, "non_decreasing", margin=0.2) == ["not_improving"]


def test_rewards_on_the_margin_and_on_the_threshold_are_not_decided_by_rounding():
    some = pairs([0.5, 0.7, 0.2], [0.6, 0.7, 0.3])
    assert reasons(some, "improving", margin=0.1, threshold=0.5) == [
        "not_improving",
        "not_improving",
        "incorrect_twice",
    ]
    assert kept(some, "equal_only", threshold=0.7) == [1]


def test_duplicates_keep_the_first_drawn():
    some = pairs([I, I, C, I, I], [C, C, C, C, I], content=[7, 7, 8, 7, 9])
    assert reasons(some, "improving", drop_duplicates=True) == [
        "improving", "duplicate", "not_improving", "duplicate", "incorrect_twice",
    ]  # fmt: skip


def test_the_question_cap_keeps_improving_pairs_first():
    some = pairs([C, C, I, I, C], [C, C, C, C, C], question=[1, 1, 1, 1, 2])
    assert reasons(some, "non_decreasing", max_per_question=3) == [
        "kept_correct", "over_question_cap", "improving", "improving", "kept_correct",
    ]  # fmt: skip
    assert kept(some, "equal_only", max_per_question=1) == [0, 4]


@pytest.mark.parametrize(("ratio", "num_kept_correct"), [(0.0, 0), (0.5, 1), (1.0, 2), (1.9, 3), (9.0, 5), (None, 5)])
def test_the_balance_bounds_kept_correct_per_improving(ratio, num_kept_correct):
    some = pairs([I, C, C, C, C, C, I], [C, C, C, C, C, C, C])
    found = reasons(some, "non_decreasing", max_kept_correct_per_improving=ratio)
    assert found == [
        "improving", *["kept_correct"] * num_kept_correct, *["balance"] * (5 - num_kept_correct), "improving",
    ]  # fmt: skip


@pytest.mark.parametrize(("share", "num_copies"), [(0.0, 0), (0.1, 1), (0.18, 1), (0.4, 6), (0.5, 9), (1.0, 10)])
def test_the_copy_cap_is_a_share_of_what_is_kept(share, num_copies):
    some = pairs([C] * 19, [C] * 19, copy=range(10))
    found = reasons(some, "non_decreasing", max_copy_share=share)
    assert found.count("copy_cap") == 10 - num_copies
    assert found.count("kept_correct") == 9 + num_copies
    assert num_copies <= share * (9 + num_copies)


def test_a_cap_on_copies_alone_keeps_none():
    assert kept(pairs([C, C], [C, C], copy=[0, 1]), "non_decreasing", max_copy_share=0.9) == []


def test_no_pairs_give_no_reasons():
    for name in FILTERS:
        assert reasons(pairs([], []), name, drop_duplicates=True, max_per_question=1) == []


@st.composite
def some_pairs(draw) -> pl.DataFrame:
    n = draw(st.integers(0, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    copy = rng.random(n) < 0.2
    initial = rng.choice([0, 0.3, 0.6, 1], n).astype(np.float32)
    question = rng.integers(0, 6, n)
    return pl.DataFrame({
        "initial_reward": initial,
        "correction_reward": np.where(copy, initial, rng.choice([0, 0.3, 0.6, 1], n)).astype(np.float32),
        **{name: rng.random(n) < 0.1 for name in UNUSABLE},
        "copy": copy,
        "question": question,
        "content": question * 10 + rng.integers(0, 4, n),
        "draw": rng.permutation(n),
    })  # fmt: skip


some_options = st.builds(
    Options,
    margin=st.sampled_from([0.0, 0.35]),
    drop_duplicates=st.booleans(),
    max_per_question=st.none() | st.integers(1, 4),
    max_kept_correct_per_improving=st.none() | st.sampled_from([0.0, 0.5, 2.0]),
    max_copy_share=st.none() | st.sampled_from([0.0, 0.3, 1.0]),
)


@given(some_pairs(), some_options, st.sampled_from(sorted(FILTERS)), st.randoms())
def test_the_selection_does_not_depend_on_the_order_of_the_rows(some, options, name, random):
    order = random.sample(range(len(some)), len(some))
    assert select(some[order], name, options).to_list() == select(some, name, options)[order].to_list()


@given(some_pairs(), some_options)
def test_random_matched_keeps_as_many_as_its_filter(some, options):
    for name, filter in MATCHED.items():
        assert len(kept_rows(some, name, options)) == len(kept_rows(some, filter, options))


@given(some_pairs(), some_options, st.sampled_from(sorted(FILTERS)))
def test_every_bound_holds(some, options, name):
    chosen = kept_rows(some, name, options)
    assert not chosen.select(pl.any_horizontal(UNUSABLE)).to_series().any()
    if options.drop_duplicates:
        assert chosen["content"].n_unique() == len(chosen)
    if options.max_per_question is not None:
        assert max(chosen["question"].value_counts()["count"], default=0) <= options.max_per_question
    if options.max_kept_correct_per_improving is not None:
        bound = options.max_kept_correct_per_improving * (chosen["reason"] == "improving").sum()
        assert (chosen["reason"] == "kept_correct").sum() <= bound or name in ("none", *MATCHED)
    if options.max_copy_share is not None and name not in MATCHED:
        assert chosen["copy"].sum() <= options.max_copy_share * len(chosen)


def kept_rows(some: pl.DataFrame, name: str, options: Options) -> pl.DataFrame:
    return some.with_columns(reason=select(some, name, options)).filter(KEPT)

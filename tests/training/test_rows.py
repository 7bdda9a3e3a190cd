"""More tokens than 32 bits can count; columns of nulls take no memory, so the sizes are real."""

import numpy as np
import pyarrow as pa
import pytest

from training.rows import row_offsets, with_large_lists

HUGE = 1 << 30


def test_offsets_count_past_two_to_the_31():
    offsets = row_offsets(np.array([HUGE, HUGE, HUGE, 1], dtype=np.int32))
    assert offsets.type == pa.int64()
    assert offsets.to_pylist() == [0, HUGE, 2 * HUGE, 3 * HUGE, 3 * HUGE + 1]


def test_tables_of_many_tokens_become_one():
    lists = pa.ListArray.from_arrays(pa.array([0, HUGE], pa.int32()), pa.nulls(HUGE))
    table = pa.table({"input_ids": lists, "question_id": ["q"]})
    with pytest.raises(pa.ArrowInvalid):  # what lists of 32 bits do
        pa.concat_arrays([lists] * 3)
    whole = pa.concat_tables([with_large_lists(table)] * 3).combine_chunks()
    assert whole["input_ids"].num_chunks == 1
    assert len(whole["input_ids"].chunk(0).values) == 3 * HUGE
    assert whole["question_id"].to_pylist() == ["q"] * 3

"""metrics.json: what the paper and SCoRe report of an iteration, as counts of rows and ratios of two counts.

Counts are over the trajectories' rows, so a query over the Parquet files gives the same numbers, except for those
of samples and their tokens, where each sample counts once however many pairs it is in.
"""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtering.filters import Reason
from filtering.flags import FLAGS
from filtering.trajectories import Verdicts
from store.schemas import TRANSITIONS

Counts = dict[str, Counter[str]]

APART = ("gold_in_question", "overlap", "shared_answer")  # flags of questions without which accuracy is given too


def count(trajectories: pa.Table, verdicts: Verdicts) -> Counts:
    """The counts of some trajectories of a split, by what is counted; those of its shards add up."""
    rows = Counter(
        questions=pc.count_distinct(trajectories["question_id"]).as_py(),
        kept=_num_true(trajectories["kept"]),
        copies=_num_true(pc.equal(trajectories["initial_answer"], trajectories["correction"])),
        initial_truncated=_num_true(pc.equal(trajectories["initial_finish_reason"], "length")),
        correction_truncated=_num_true(pc.equal(trajectories["correction_finish_reason"], "length")),
    )
    flagged = {name: (verdicts.flags >> bit & 1).astype(bool) for bit, name in enumerate(FLAGS)}
    return {
        "rows": rows,
        "transitions": _counted(verdicts.transitions, TRANSITIONS),
        **{flag: _counted(verdicts.transitions[flagged[flag]], TRANSITIONS) for flag in APART},
        "reasons": _counted(verdicts.reasons, [reason.name.lower() for reason in Reason]),
        "flags": Counter({name: int(some.sum()) for name, some in flagged.items() if some.any()}),
    }


def count_samples(initial: pa.Table, corrections: pa.Table) -> Counts:
    """The samples behind some trajectories and the tokens generated for them."""
    samples = Counter(initial_answers=initial.num_rows, corrections=corrections.num_rows)
    for name, table in (("initial_answer_tokens", initial), ("correction_tokens", corrections)):
        samples[name] = pc.sum(pc.list_value_length(table["token_ids"])).as_py() or 0
    return {"samples": samples}


def add(total: Counts, counts: Counts) -> None:
    """total += counts."""
    for kind, counter in counts.items():
        total.setdefault(kind, Counter()).update(counter)


def summarize(counts: Counts, sums: dict[str, list[float]]) -> dict[str, Any]:
    """A split's entry in metrics.json, from its counts and {initial_<reward>, correction_<reward>: exact_sum}."""
    rows, samples = counts["rows"], counts["samples"]
    num_pairs = counts["transitions"].total()
    return {
        "num_questions": rows["questions"],
        "num_initial_answers": samples["initial_answers"],
        "num_corrections": samples["corrections"],
        **accuracy(counts["transitions"]),
        **{f"without_{flag}": accuracy(counts["transitions"] - counts[flag]) for flag in APART},
        "gold_in_question": accuracy(counts["gold_in_question"]),
        "num_copies": rows["copies"],
        "copy_rate": ratio(rows["copies"], num_pairs),
        "num_initial_truncated": rows["initial_truncated"],
        "initial_truncation_rate": ratio(rows["initial_truncated"], num_pairs),
        "num_correction_truncated": rows["correction_truncated"],
        "correction_truncation_rate": ratio(rows["correction_truncated"], num_pairs),
        "num_initial_format_failures": counts["flags"]["initial_no_final_answer"],
        "num_correction_format_failures": counts["flags"]["correction_no_final_answer"],
        "num_initial_answer_tokens": samples["initial_answer_tokens"],
        "num_correction_tokens": samples["correction_tokens"],
        "mean_rewards": {name: ratio(math.fsum(parts), num_pairs) for name, parts in sums.items()},
        "num_kept": rows["kept"],
        "reasons": dict(sorted(counts["reasons"].items())),
        "flags": dict(sorted(counts["flags"].items())),
    }


def accuracy(transitions: Counter[str]) -> dict[str, Any]:
    """From the pairs of each transition: t1 and t2, the share whose initial answer and whose correction is correct,
    delta = t2 - t1 and SCoRe's four transition rates."""
    num_pairs = transitions.total()
    before = transitions["c->c"] + transitions["c->i"]
    after = transitions["c->c"] + transitions["i->c"]
    return {
        "num_pairs": num_pairs,
        "num_initial_correct": before,
        "num_correction_correct": after,
        "t1": ratio(before, num_pairs),
        "t2": ratio(after, num_pairs),
        "delta": ratio(after - before, num_pairs),
        "transitions": {
            name: {"count": transitions[name], "rate": ratio(transitions[name], num_pairs)} for name in TRANSITIONS
        },
    }


def exact_sum(values: np.ndarray) -> list[float]:
    """Numbers with exactly the sum of the values, mostly one: means are the same whatever the shards."""
    terms, parts = values.tolist(), []
    while rest := math.fsum(terms):
        parts.append(rest)
        terms.append(-rest)
    return parts


def ratio(part: float, whole: int) -> float | None:
    """part / whole, None of nothing."""
    return part / whole if whole else None


def _counted(numbers: np.ndarray, names: Sequence[str]) -> Counter[str]:
    counts = np.bincount(numbers, minlength=len(names)).tolist()
    return Counter({name: count for name, count in zip(names, counts, strict=True) if count})


def _num_true(column: pa.ChunkedArray) -> int:
    return pc.sum(column).as_py() or 0

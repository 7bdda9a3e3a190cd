"""Which questions are train, validation and test: decided by each question's own text, never by the others.

A question's position in [0, 1) is a hash of data.seed and its normalized text. A split is an interval of a file and
takes its questions from the interval's start, so the first 100 of 500 are the 100, no split moves when another's
size changes, and two spellings of one question never part company.
"""

import hashlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

from data.rows import QuarantinedRow, Question, Reading
from store.errors import BadInput

# A question that is in two splits stays in the first of these: the test set is never thinned out, and train only by it.
PRECEDENCE = ("test", "train", "validation")


@dataclass(frozen=True)
class Part:
    """Where a split comes from: the questions of `file` whose position is in [start, stop); at most `size` of them."""

    file: str
    start: float
    stop: float
    size: int | None


def position(key: str, seed: int) -> float:
    """Where a question stands in [0, 1), uniformly: the same for every size, file order and other question."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{key}".encode()).digest()[:6], "big") / 2**48


def without_duplicates(readings: Mapping[str, Reading]) -> dict[str, Reading]:
    """Every file's reading with one row per question_id; further rows of the same content are quarantined as DUPLICATE.

    BadInput names both lines when an id stands for two contents, in one file or in two.
    """
    first: dict[str, Question] = {}
    result = {}
    for name, reading in readings.items():
        kept, copies, here = [], [], set()
        for question in reading.questions:
            known = first.setdefault(question.question_id, question)
            if (known.question, known.answers, known.more) != (question.question, question.answers, question.more):
                raise BadInput(
                    f"{known.place} and {question.place} both have the id {question.question_id!r} and differ in "
                    "question, answers or further columns: make ids unique over all files, or start a run with "
                    "data.columns.id=[], to have them made from the content"
                )
            if question.question_id in here:
                copies.append(
                    QuarantinedRow(reading.file, question.line, "DUPLICATE", f"has the content of {known.place}")
                )
            else:
                here.add(question.question_id)
                kept.append(question)
        quarantined = sorted([*reading.quarantined, *copies], key=lambda row: row.line)
        result[name] = replace(reading, questions=kept, quarantined=quarantined)
    return result


def parts_of(config: Mapping[str, Any]) -> dict[str, Part]:
    """Return the parts that the settings `data` describe; conf.question_files has checked them."""
    found = {}
    for split, place in config["splits"].items():
        start, stop = place["interval"]
        found[split] = Part(place["file"], start, stop, config[split])
    return found


def draw(
    readings: Mapping[str, Reading], parts: Mapping[str, Part], seed: int, eligible: Set[str] | None = None
) -> tuple[dict[str, list[Question]], dict[str, int], list[QuarantinedRow]]:
    """Return the questions of every split, how many each could have had, and what was left out since another split has
    it.

    Which questions a split loses to another depends on the intervals alone, not on their sizes. eligible: the ids that
    training questions are taken from, None is all.
    """
    pools: dict[str, list[Question]] = {}
    left_out: list[QuarantinedRow] = []
    taken: dict[str, tuple[str, str]] = {}  # key -> (place, split)
    for split in PRECEDENCE:
        part = parts[split]
        placed = [(position(q.key, seed), q.question_id, q) for q in readings[part.file].questions]
        pool = [q for where, _, q in sorted(placed, key=lambda p: p[:2]) if part.start <= where < part.stop]
        for question in pool:
            if question.key in taken:
                place, owner = taken[question.key]
                detail = f"{place}, in {owner}, asks the same"
                left_out.append(QuarantinedRow(question.file, question.line, "DUPLICATE", detail))
        pools[split] = [question for question in pool if question.key not in taken]
        taken |= {question.key: (question.place, split) for question in pools[split]}
    if eligible is not None:
        pools["train"] = [question for question in pools["train"] if question.question_id in eligible]
    available = {split: len(pool) for split, pool in pools.items()}
    return {split: pools[split][: parts[split].size] for split in parts}, available, left_out


def num_repeated(questions: Iterable[Question]) -> int:
    """How many questions say what an earlier one says; they are kept, each with its own gold answers."""
    keys = [question.key for question in questions]
    return len(keys) - len(set(keys))

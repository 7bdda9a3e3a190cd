"""A shard's samples as the two passes work on them: joined, with their questions, and each different text once."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from filtering.join import Joined
from filtering.questions import Asked, Questions
from filtering.rewards import REWARDS
from filtering.rewards.texts import Golds, Texts

Scores = dict[str, np.ndarray]  # {reward: float32, one entry per text}


@dataclass(frozen=True)
class Samples:
    """texts: the different ones of each question, a fifth to a third fewer than samples; golds: of each of these. rows:
    the text of every initial answer, then of every correction. asked: the questions, in the order of
    joined.question_ids."""

    joined: Joined
    asked: Asked
    texts: Texts
    golds: Golds
    rows: np.ndarray

    @classmethod
    def of(cls, joined: Joined, questions: Questions) -> "Samples":
        asked = questions.asked(joined.question_ids.to_pylist())
        column = pa.chunked_array(joined.initial["text"].chunks + joined.corrections["text"].chunks, pa.string())
        column = column.combine_chunks().dictionary_encode()
        question = np.concatenate([joined.initial_questions, joined.correction_questions]).astype(np.int64)
        different, rows = np.unique(question << 32 | column.indices.to_numpy(), return_inverse=True)
        texts = column.dictionary.take(pa.array(different & 0xFFFFFFFF))
        golds = Golds([asked.answers[row] for row in (different >> 32).tolist()])
        return cls(joined, asked, Texts(texts.to_numpy(zero_copy_only=False).tolist()), golds, rows)

    def scores(self, rewards: list[str]) -> Scores:
        """Every reward of every text."""
        return {name: REWARDS[name](self.texts, self.golds) for name in rewards}

    def of_pairs(self, of_texts: np.ndarray, pairs: Joined) -> tuple[np.ndarray, np.ndarray]:
        """What is given for texts, for the initial answer and for the correction of each pair."""
        corrections = len(self.joined.initial) + pairs.correction_rows
        return of_texts[self.rows[pairs.answer_rows]], of_texts[self.rows[corrections]]

    def rewards(self, scores: Scores, pairs: Joined) -> dict[str, np.ndarray]:
        """{initial_<reward>, correction_<reward>: float32, one entry per pair}."""
        columns = {}
        for name, values in scores.items():
            columns[f"initial_{name}"], columns[f"correction_{name}"] = self.of_pairs(values, pairs)
        return columns


def taken(column: pa.ChunkedArray, rows: np.ndarray) -> pa.Array:
    """The entries of a column in these rows, which are mostly all of them in order."""
    array = column.combine_chunks()
    return array if np.array_equal(rows, np.arange(len(array))) else array.take(pa.array(rows))

"""Which texts a judge is asked about: those that filtering will score, each different one of a question once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from conf.judges import PLACEHOLDER
from conf.schema import Message
from filtering.judged import key_of
from filtering.pairs import read_samples
from filtering.rewards.texts import Texts
from filtering.source import Source
from filtering.verdicts import Words
from judging.judge import Messages


@dataclass(frozen=True)
class Text:
    """text: as rewards get it, without what a model thinks."""

    key: str
    question_id: str
    question: str
    text: str
    golds: list[str]

    def prompt(self, messages: Sequence[Message]) -> Messages:
        """Fill in what a judge is asked, in one pass: braces in a text stay what they are."""
        values = {"question": self.question, "text": self.text, "golds": "\n".join(self.golds)}
        return [
            {"role": m.role, "content": PLACEHOLDER.sub(lambda found: values[found[1]], m.content)} for m in messages
        ]


def texts_of_split(
    source: Source, split: str, verdict: Words | None, judge: str, shows_golds: bool
) -> Iterator[tuple[str, list[Text]]]:
    """Yield each shard of a split with its texts: initial answers, corrections, further rounds of these."""
    further: dict[str, list[tuple[str, str]]] = {}
    for turn in source.further_rounds:
        for path, corrections in source.round(split, turn):
            ids, texts = corrections["question_id"].to_list(), Texts(corrections["text"].to_list())
            further.setdefault(path.name, []).extend(zip(ids, texts, strict=True))
    for file in source.files(split):
        samples = read_samples(source, [], split, file, verdict=verdict)
        questions = {row["question_id"]: row for row in samples.questions.to_pylist()}
        ids = samples.questions["question_id"].to_pylist()
        asked = [(ids[row], text) for row, text in zip(samples.text_questions, samples.texts, strict=True)]
        found = {}
        for question_id, text in dict.fromkeys([*asked, *further.get(file, ())]):
            question, golds = questions[question_id]["question"], questions[question_id]["answers"]
            key = key_of(judge, question, text, golds, shows_golds)
            found[key] = Text(key, question_id, question, text, golds)
        yield file, list(found.values())

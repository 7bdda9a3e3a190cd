"""Scores per second beside a straightforward In-accuracy, and the stage on a million pairs."""

import re
import string
import unicodedata
from collections.abc import Sequence

import pyarrow as pa
import regex

from conf.schema import load
from data.checkpoints import locate
from data.run import Run
from filtering.rewards import in_accuracy, in_accuracy_final
from generation.tokenization import ChatTokenizer
from tests.bench.measure import Row, alternate, ratios, seconds
from tests.bench.place import Place
from tests.bench.texts import Sampler, write_iteration

SCORED_PAIRS = 20_000
NAIVE_PAIRS = 2_000
PUNCTUATION = set(string.punctuation)
TOKEN = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")  # a run of letters, digits and marks, or a visible symbol
ALL_QUESTIONS = (
    "device=cpu", "data.train=null", "data.validation=null", "data.test=null", "sampling.num_initial=5",
    "sampling.num_corrections=5",
)  # fmt: skip
TEMPLATE_SHARDS = 20  # shards of 64 questions whose rows the million is made of, with ids of their own


def measure(place: Place) -> list[Row]:
    run = place.start("texts", *ALL_QUESTIONS)
    config = load(run)
    sampler = Sampler(run, config, ChatTokenizer(locate(run, 0)[0]))
    rows = []
    for kind, ascii_only, target in (("ASCII", True, 100_000), ("non-ASCII", False, 50_000)):
        rows += scoring(kind, *pairs(sampler, ascii_only), target, place.size.repeats)
    return rows + million(place, sampler)


def pairs(sampler: Sampler, ascii_only: bool) -> tuple[list[str], list[list[str]]]:
    """(texts, gold aliases): two texts for each pair. Each text holds a letter outside ASCII, or none does."""
    questions = [q for q in sampler.questions if all(alias.isascii() for alias in q["answers"]) is ascii_only]
    sampler.aliases = [a for q in questions for a in q["answers"] if a.isascii() is ascii_only]
    texts, golds = [], []
    while len(texts) < 2 * SCORED_PAIRS:
        question = questions[len(texts) % len(questions)]
        text = sampler.text(question)
        if text.isascii() is ascii_only:
            texts.append(text)
            golds.append(question["answers"])
    return texts, golds


def scoring(kind: str, texts: list[str], golds: list[list[str]], target: int, repeats: int) -> list[Row]:
    few = texts[: 2 * NAIVE_PAIRS], golds[: 2 * NAIVE_PAIRS]
    assert in_accuracy(*few).tolist() == [naive_in_accuracy(text, gold) for text, gold in zip(*few, strict=True)]
    took = alternate(
        repeats,
        final=lambda: seconds("cpu", lambda: in_accuracy_final(texts, golds)) / SCORED_PAIRS,
        whole=lambda: seconds("cpu", lambda: in_accuracy(texts, golds)) / SCORED_PAIRS,
        naive=lambda: seconds("cpu", lambda: list(map(naive_in_accuracy, *few))) / NAIVE_PAIRS,
    )
    per_second = {name: [1 / value for value in values] for name, values in took.items()}
    return [
        Row(f"In-accuracy, {kind}", per_second["whole"], "pairs/s", at_least=target),
        Row(f"In-accuracy of the final answer (the default), {kind}", per_second["final"], "pairs/s", at_least=target),
        Row(f"a straightforward In-accuracy, {kind}", per_second["naive"], "pairs/s"),
        Row(f"In-accuracy / straightforward, {kind}", ratios(took["naive"], took["whole"]), "x", at_least=20),
    ]


def naive_in_accuracy(text: str, aliases: Sequence[str]) -> float:
    """1 if some alias's tokens are a sublist of the text's: everything is normalised and cut into tokens at each call,
    as in the evaluation scripts of open-domain question answering."""
    tokens = naive_tokens(text)
    for alias in aliases:
        wanted = naive_tokens(alias)
        starts = range(len(tokens) - len(wanted) + 1)
        if wanted and any(tokens[start : start + len(wanted)] == wanted for start in starts):
            return 1.0
    return 0.0


def naive_tokens(text: str) -> list[str]:
    decomposed = unicodedata.normalize("NFD", text).lower()
    plain = "".join(" " if char in PUNCTUATION else char for char in decomposed)
    without_articles = " ".join(re.sub(r"\b(a|an|the)\b", " ", plain).split())
    return [match.group() for match in TOKEN.finditer(without_articles)]


def million(place: Place, sampler: Sampler) -> list[Row]:
    """The stage as a command on size.pairs pairs in shards of 64 questions, 5 x 5."""
    run = place.configure("million", *ALL_QUESTIONS)
    write_many(run, sampler, place.size.pairs)
    spent = place.stage("filtering", "run=million", "iteration=0")
    return [
        Row(f"filtering stage, {place.size.pairs:,} pairs", [spent.cpu], "s", at_most=30),
        Row(f"filtering stage, {place.size.pairs:,} pairs: peak memory", [spent.peak / 1e9], "GB", at_most=2),
    ]


def write_many(run: Run, sampler: Sampler, num_pairs: int) -> None:
    """An iteration of so many pairs: the rows of a few shards, again and again under new ids."""
    sampling, size = sampler.config.sampling, sampler.config.launcher.shard_questions
    templates = []
    for index in range(TEMPLATE_SHARDS):
        questions = sampler.questions[index * size : (index + 1) * size]
        templates.append((questions, *sampler.samples(questions)))
    per_shard = size * sampling.num_initial * sampling.num_corrections
    parts = []
    for index in range(-(-num_pairs // per_shard)):
        questions, *tables = templates[index % TEMPLATE_SHARDS]
        ids = {question["question_id"]: f"{index}-{question['question_id']}" for question in questions}
        renamed = [question | {"question_id": ids[question["question_id"]], "split": "train"} for question in questions]
        parts.append((renamed, *(with_ids(table, ids) for table in tables)))
    write_iteration(run, parts)


def with_ids(table: pa.Table, ids: dict[str, str]) -> pa.Table:
    column = pa.array([ids[key] for key in table["question_id"].to_pylist()])
    return table.set_column(0, table.schema.field(0), column)

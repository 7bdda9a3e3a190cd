"""Scores per second beside a straightforward In-accuracy, and the stage on a million pairs."""

import shutil
import string
import unicodedata
from collections.abc import Sequence
from itertools import cycle, islice

import pyarrow as pa
import regex

from benchmarks.measure import Row, alternate, ratios, seconds
from benchmarks.place import Place, every_core
from benchmarks.texts import Sampler, write_iteration
from conf.stored import load
from filtering.rewards import in_accuracy, in_accuracy_final
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run

SCORED_PAIRS = 20_000
NAIVE_PAIRS = 2_000
PER_QUESTION, COLUMN = 30, 1_920  # texts of a question at 5 x 5, and of a shard of 64 questions
# A run of letters, digits and marks, or a visible symbol: DrQA's tokenizer, which DPR and most code since have taken.
TOKEN = regex.compile(r"([\p{L}\p{N}\p{M}]+)|([^\p{Z}\p{C}])", flags=regex.IGNORECASE + regex.UNICODE + regex.MULTILINE)
ALL_QUESTIONS = (
    "device=cpu", "data.train=null", "data.validation=null", "data.test=null", "sampling.num_initial=5",
    "sampling.num_corrections=5",
)  # fmt: skip
TEMPLATE_SHARDS = 20  # shards of 64 questions whose rows the million is made of, with ids of their own


def measure(place: Place) -> list[Row]:
    run = place.start("texts", *ALL_QUESTIONS)
    config = load(run)
    tokenizer = ChatTokenizer(locate(run, 0)[0])
    sampler = Sampler(run, config, tokenizer)
    rows = []
    for kind, ascii_only, target in (("ASCII", True, 100_000), ("non-ASCII", False, 50_000)):
        rows += scoring(kind, *pairs(sampler, ascii_only), target, place.size.repeats)
    return rows + million(place, Sampler(run, config, tokenizer))  # texts of all aliases, as questions have them


def pairs(sampler: Sampler, ascii_only: bool) -> tuple[list[str], list[list[str]]]:
    """(texts, gold aliases) in a shard's order, two texts for each pair: all of them in ASCII, or none."""
    questions = [q for q in sampler.questions if all(alias.isascii() for alias in q["answers"]) is ascii_only]
    sampler.aliases = [a for q in questions for a in q["answers"] if a.isascii() is ascii_only]
    drawn = ((sampler.text(q), q["answers"]) for q in cycle(questions) for _ in range(PER_QUESTION))
    rows = islice((row for row in drawn if row[0].isascii() is ascii_only), 2 * SCORED_PAIRS)
    texts, golds = map(list, zip(*rows, strict=True))
    return texts, golds


def scoring(kind: str, texts: list[str], golds: list[list[str]], target: int, repeats: int) -> list[Row]:
    few = texts[: 2 * NAIVE_PAIRS], golds[: 2 * NAIVE_PAIRS]
    columns = [(texts[at : at + COLUMN], golds[at : at + COLUMN]) for at in range(0, len(texts), COLUMN)]
    assert in_accuracy(*few).tolist() == [naive_in_accuracy(text, gold) for text, gold in zip(*few, strict=True)]
    took = alternate(
        repeats,
        final=lambda: seconds("cpu", lambda: [in_accuracy_final(*column) for column in columns]) / SCORED_PAIRS,
        whole=lambda: seconds("cpu", lambda: [in_accuracy(*column) for column in columns]) / SCORED_PAIRS,
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
    """1 if some alias's tokens are a sublist of the text's, as the published scripts for open-domain question answering
    have it: text and aliases are normalized and cut into tokens at each call, every match is an object, lists of tokens
    are compared at each place."""
    tokens = naive_tokens(text)
    for alias in aliases:
        wanted = naive_tokens(alias)
        for start in range(len(tokens) - len(wanted) + 1):
            if wanted and tokens[start : start + len(wanted)] == wanted:
                return 1.0
    return 0.0


def naive_tokens(text: str) -> list[str]:
    punctuation = set(string.punctuation)
    lowered = unicodedata.normalize("NFD", text).lower()
    plain = "".join(" " if char in punctuation else char for char in lowered)
    without_articles = regex.sub(r"\b(a|an|the)\b", " ", plain)
    matches = [match for match in TOKEN.finditer(" ".join(without_articles.split()))]
    return [match.group().lower() for match in matches]


def million(place: Place, sampler: Sampler) -> list[Row]:
    """Return the stage as a command on size.pairs pairs in shards of 64 questions, 5 x 5: in one process on one core,
    then spread over all cores, where seconds are of the wall clock."""
    run, stage = place.configure("million", *ALL_QUESTIONS), ("filtering", "run=million", "iteration=0")
    write_many(run, sampler, place.size.pairs)
    name = f"filtering {place.size.pairs:,} pairs"
    alone = place.stage(*stage)
    folder = run.iteration(0)
    for part in (folder.trajectories, folder.sft):
        shutil.rmtree(part)
    with every_core() as cores:
        spread = place.stage(*stage)
    return [
        Row(f"{name}, one process", [alone.cpu], "s", at_most=30),
        Row(f"{name}, one process: peak memory", [alone.peak / 1e9], "GB", at_most=2),
        Row(f"{name}, {cores} cores: wall clock", [spread.wall], "s", at_most=30),
        Row(f"{name}, {cores} cores: processor time", [spread.cpu], "s"),
        Row(f"{name}, {cores} cores: peak memory of all", [spread.together / 1e9], "GB", at_most=2),
    ]


def write_many(run: Run, sampler: Sampler, num_pairs: int) -> None:
    """Write an iteration of so many pairs: the rows of a few shards, again and again under new ids."""
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

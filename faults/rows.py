"""Bad rows of question files (JSONL, TSV, Parquet): quarantined with line and code, or the stage stops."""

import gzip
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import conf.__main__
import data.__main__
from faults.children import Ended, run
from faults.stages import RUN, Bench, settings
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from store.run import Run
from store.schemas import QUESTIONS, SPLITS
from store.shards import QUARANTINED, iter_shards, read_manifest

GOOD = [{"question": f"which number is number {i}?", "answers": [f"answer {i}"]} for i in range(100)]


def line(question: object, answers: object) -> bytes:
    return json.dumps({"question": question, "answers": answers}, ensure_ascii=False).encode("utf-8", "surrogatepass")


BAD_LINES = [  # (line, code)
    (b'{"question": "cut', "BAD_JSON"),
    (b'{"question": "q", "answers": ["a"]', "BAD_JSON"),
    (b'{"question": "q", "answers": ["a"]} trailing', "BAD_JSON"),
    (b'{"question": "q", "question": "r", "answers": ["a"]}', "BAD_JSON"),
    (b'{"question": "q", "answers": ["a"], "score": NaN}', "BAD_JSON"),
    (b'{"question": "q", "answers": ["a"], "score": -Infinity}', "BAD_JSON"),
    (b"[1, 2]", "BAD_JSON"),
    (b'"a string"', "BAD_JSON"),
    (b"null", "BAD_JSON"),
    (b"[" * 100_000, "BAD_JSON"),
    (b"{'question': 'q', 'answers': ['a']}", "BAD_JSON"),
    (b'{"question": "q\t", "answers": ["a"]}', "BAD_JSON"),
    (b'\xef\xbb\xbf{"question": "q", "answers": ["a"]}', "BAD_ENCODING"),
    (b'{"question": "\xff\xfe", "answers": ["a"]}', "BAD_ENCODING"),
    (b'{"question": "caf\xe9", "answers": ["a"]}', "BAD_ENCODING"),
    (line("\ud800", ["a"]), "BAD_ENCODING"),
    (b"\x00" * 50, "BAD_JSON"),
    (b'{"answers": ["a"]}', "MISSING_FIELD"),
    (b'{"question": null, "answers": ["a"]}', "MISSING_FIELD"),
    (b'{"text": "q", "gold": ["a"]}', "MISSING_FIELD"),
    (line(7, ["a"]), "NOT_STRING"),
    (line(["q", "r"], ["a"]), "NOT_STRING"),
    (line({"text": "q"}, ["a"]), "NOT_STRING"),
    (line("q", "['a' 'b']"), "NOT_STRING"),
    (line("q", {"a": 1}), "NOT_STRING"),
    (line("q", [{"a": 1}]), "NOT_STRING"),
    (line("q", ["a", {"text": "b"}]), "NOT_STRING"),
    (line("q", "['a', b']"), "NOT_STRING"),
    (line("", ["a"]), "EMPTY_QUESTION"),
    (line(" \t\n", ["a"]), "EMPTY_QUESTION"),
    (line("\u200b\u2060", ["a"]), "EMPTY_QUESTION"),
    (b'{"question": "q"}', "EMPTY_ANSWERS"),
    (line("q", []), "EMPTY_ANSWERS"),
    (line("q", None), "EMPTY_ANSWERS"),
    (line("q", ["", " "]), "EMPTY_ANSWERS"),
    (line("who wrote 'A+'?", ["A+"]), "DEGENERATE_GOLD"),
    (line("which article?", ["The", "*", "---"]), "DEGENERATE_GOLD"),
    (b'{"question": "a\\u0000b", "answers": ["a"]}', "CONTROL_CHARACTER"),
    (b'{"question": "q", "answers": ["\\ud834"]}', "CONTROL_CHARACTER"),
    (line("q" * 10_000_000, ["a"]), "TOO_LONG"),
    (line("q", [f"alias {i} {'a' * 100}" for i in range(10_000)]), "TOO_LONG"),
    (b'{"question": "q", "answers": ["x"], "id": ""}', "BAD_ID"),
    (b'{"question": "q", "answers": ["x"], "id": "a\\nb"}', "BAD_ID"),
    (b'{"question": "q", "answers": ["x"], "id": {"a": 1}}', "BAD_ID"),
    (b'{"question": "q", "answers": ["x"], "id": "' + b"x" * 300 + b'"}', "BAD_ID"),
    (json.dumps(GOOD[3]).encode(), "DUPLICATE"),
]
BAD_TSV_LINES = [
    (b"only one field", "BAD_TSV"),
    (b"q\t['a']\tmore", "BAD_TSV"),
    (b"q\t__import__('os').system('touch canary')", "BAD_TSV"),
    (b"q\t['a'", "BAD_TSV"),
    (b"q\t" + b"(" * 100_000, "BAD_TSV"),
    (b"q\t[['a'], {'b': 1}]", "NOT_STRING"),
    (b"q\t{'a': 1}", "NOT_STRING"),
    (b"\t['a']", "EMPTY_QUESTION"),
    (b"q\t[]", "EMPTY_ANSWERS"),
]
GOOD_LINES = b"".join(json.dumps(row).encode() + b"\n" for row in GOOD)
GOOD_TSV_LINES = b"".join(f"{row['question']}\t{row['answers']}\n".encode() for row in GOOD)

TWO_CONTENTS = b"".join(b'{"question": "%s", "answers": ["a"], "id": "i"}\n' % question for question in (b"q", b"r"))


def parquet(**columns: list) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


WHOLE_FILES = {  # file: its content; all of them stop the stage with exit code 4 or 2
    "empty.jsonl": b"",
    "blank.jsonl": b"\n\n \n",
    "gzip.jsonl": gzip.compress(GOOD_LINES)[:-9],
    "utf16.jsonl": GOOD_LINES.decode().encode("utf-16") + b"\xd8",
    "array.jsonl": b"[" + GOOD_LINES,
    "zip.csv": b"PK\x03\x04" + GOOD_LINES,
    "quote.csv": b'question,answers\n"q,a\n',
    "header.csv": b"question,question\nq,a\n",
    "parquet.jsonl": b"PAR1" + bytes(100),
    "text.jsonl": b"no JSON\n" * 50,
    "torn.parquet": b"PAR1" + bytes(100) + b"PAR1",
    "text.parquet": b"no Parquet\n" * 50,
    "columns.parquet": parquet(question=["q"] * 9, other=["a"] * 9),
    "name.dat": b"no JSON\n" * 50,
    "two-contents.jsonl": GOOD_LINES + TWO_CONTENTS,
}


def bad_rows(bench: Bench) -> Tally:
    """All bad rows among good ones, then whole files that are bad."""
    tally = Tally("bad rows")
    folder = bench.scratch / "rows"
    for file, good, bad in (("rows.jsonl", GOOD_LINES, BAD_LINES), ("rows.tsv", GOOD_TSV_LINES, BAD_TSV_LINES)):
        content = good + b"".join(row + b"\n" for row, _ in bad)
        ended = make_questions(bench, folder, file, content, "data.max_bad_fraction=0.9")
        assert ended.code == 0, ended.said
        found = {entry["line"]: entry for entry in quarantined(folder)}
        for number, (row, code) in enumerate(bad, start=len(GOOD) + 1):
            entry = found.pop(number, {"code": "nothing", "file": ""})
            named = entry["file"].endswith(file) and entry["code"] == code
            tally.add(PROMISED if named else SILENT, f"{file}:{number} {row[:80]!r}: {code} expected, found {entry}")
        untouched = sorted(questions(folder)) == sorted(row["question"] for row in GOOD) and not found
        tally.add(PROMISED if untouched else SILENT, f"{file}, its good rows: {found}")
    tally.add(SILENT if (folder / "canary").exists() else PROMISED, "an answer was run as a program")
    limit = GOOD_LINES + b"{\n" * 2
    ended = make_questions(bench, folder, "limit.jsonl", limit, "data.max_bad_fraction=0.01")
    tally.add(PROMISED if ended.code == 4 and "2 of 102 rows" in ended.said else STOPPED, f"over the limit: {ended}")
    for file, content in WHOLE_FILES.items():
        ended = make_questions(bench, folder, file, content)
        refused = ended.code in (2, 4) and file in ended.said
        tally.add(PROMISED if refused else STOPPED if ended.code else SILENT, f"{file}: {ended}")
    return tally


def make_questions(bench: Bench, folder: Path, file: str, content: bytes, *overrides: str) -> Ended:
    """Return the questions of a new run in `folder`, from a file with this content."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / file).write_bytes(content)
    given = [*settings(bench.scratch), f"data.files.questions.path={folder / file}", *overrides]
    ended = run(conf.__main__.main, [f"run={RUN}", *given], folder)
    return ended if ended.code else run(data.__main__.main, [f"run={RUN}"], folder)


def quarantined(folder: Path) -> list[dict]:
    path = Run(RUN, folder / "runs").questions / QUARANTINED
    return [json.loads(entry) for entry in path.read_text().splitlines()]


def questions(folder: Path) -> list[str]:
    """Return the questions of all splits."""
    place = Run(RUN, folder / "runs").questions
    manifest = read_manifest(place)
    tables = [table for split in SPLITS for _, table in iter_shards(place, manifest, split, QUESTIONS)]
    return pa.concat_tables(tables)["question"].to_pylist()

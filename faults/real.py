"""`make iterate` on the real model (SmolLM2, vLLM, TRL), killed ten times and run again: some fifteen minutes.

Texts may differ between two such runs, since a batch decides the order of sums. What must not differ is compared: which
rows there are, their ids, seeds and prompts; of a correction, the prompt that its own initial answer gives.
"""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from conf.stored import load
from faults.loop import clone
from faults.processes import MOST_SECONDS, Place
from faults.stages import Bench
from faults.tally import PROMISED, SILENT, STOPPED, Tally
from generation.prompts import correction_messages
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run
from store.schemas import QUESTIONS, SPLITS
from store.shards import iter_shards, read_manifest

NUM_KILLS = 10
LAST = 2  # iteration
SETTINGS = (
    "device=cpu data.train=6 data.validation=2 data.test=6 sampling.num_initial=2 sampling.num_corrections=2 "
    "strategy=ENE strategy.filter=none launcher.shard_questions=2 training.stop_check.num_prompts=2"
)
STAGES = [("conf",), ("data",), ("training.base_model",), ("generation", "iteration=0"), ("filtering", "iteration=0")]
STAGES += [(stage, f"iteration={n}") for n in range(1, LAST + 1) for stage in ("training", "generation", "filtering")]

Key = tuple[str, ...]


def real_model(bench: Bench) -> Iterator[Tally]:
    """Yield a run without interruption, one that is killed, and the two compared."""
    place = Place(clone(bench.scratch / "real"), bench.scratch)
    started = time.monotonic()
    assert iterate(place, "whole").wait(1800) == 0, place.said
    seconds = time.monotonic() - started
    print(f"without a kill: {seconds:.0f} s", file=sys.stderr, flush=True)
    yield kills(place, seconds)
    whole, killed = (Run(name, place.folder / "runs") for name in ("whole", "killed"))
    yield compare(whole, killed)
    yield finished(place)


def iterate(place: Place, run: str) -> subprocess.Popen:
    return place.start(["make", "iterate", f"N={LAST}", f"RUN={run}", f"ARGS={SETTINGS}"])


def kills(place: Place, seconds: float) -> Tally:
    """SIGKILL to make and all that it started, at random moments of its first quarter; then it runs to its end."""
    tally, draw = Tally("real model: make iterate killed"), random.Random(0)
    for _ in range(NUM_KILLS):
        process = iterate(place, "killed")
        moment = draw.uniform(0, seconds / 4)
        time.sleep(moment)
        early = process.poll() is not None
        if not early:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        left = place.wait_for_none(MOST_SECONDS)
        said = place.said.strip().rpartition("\n")[2]
        print(f"killed after {moment:.0f} s: {said[:120]}", file=sys.stderr, flush=True)
        tally.add(STOPPED if left or early else PROMISED, f"after {moment:.0f} s, left {left}, ended {early}: {said}")
    code = iterate(place, "killed").wait(1800)
    tally.add(STOPPED if code else PROMISED, f"to its end: exit {code}: {place.said[-500:]}")
    code = place.run("analysis.verify", "run=killed")
    tally.add(SILENT if code else PROMISED, f"verified: exit {code}: {place.said[-500:]}")
    return tally


def compare(whole: Run, killed: Run) -> Tally:
    """Every sample of both: there once in each, with one seed, and with the prompt that it should have."""
    tally, texts = Tally("real model: samples after the kills"), 0
    prompt = load(killed).prompt
    questions = texts_of_questions(killed)
    for number in range(LAST + 1):
        encode = ChatTokenizer(locate(killed, number)[0]).encode
        answers = samples(killed, number, "initial_answers")
        for table in ("initial_answers", "corrections"):
            expected, found = samples(whole, number, table), samples(killed, number, table)
            for key in sorted(expected.keys() | found.keys()):
                ours, theirs = found[key], expected[key]
                same = len(ours) == len(theirs) == 1 and ours[0]["seed"] == theirs[0]["seed"]
                if same and table == "corrections":
                    text = ours[0]["initial_answer"]
                    messages = correction_messages(prompt, questions[key[0]], text)
                    same = [text] == [answer["text"] for answer in answers[key[:2]]]
                    same &= ours[0]["prompt_token_ids"] == encode(messages)
                elif same:
                    same = ours[0]["prompt_token_ids"] == theirs[0]["prompt_token_ids"]
                texts += same and ours[0]["text"] == theirs[0]["text"]
                tally.add(PROMISED if same else SILENT, f"iter_{number:02d}/{table} {key}: {len(ours)} rows")
    print(f"{texts} of {tally.tried} texts are those of the uninterrupted run", file=sys.stderr, flush=True)
    return tally


def samples(run: Run, number: int, table: str) -> dict[Key, list[dict[str, Any]]]:
    """Return the rows of a table by (question_id, init_index[, corr_index]), as they lie on disk."""
    rows = defaultdict(list)
    for path in sorted((run.iteration(number).dir / table).glob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            rows[tuple(row[name] for name in ("question_id", "init_index", "corr_index") if name in row)].append(row)
    return rows


def texts_of_questions(run: Run) -> dict[str, str]:
    manifest = read_manifest(run.questions)
    return {
        row["question_id"]: row["question"]
        for split in SPLITS
        for _, table in iter_shards(run.questions, manifest, split, QUESTIONS)
        for row in table.to_pylist()
    }


def finished(place: Place) -> Tally:
    """Every stage of the finished run once more: nothing changes, and each takes less than a second of the CPU."""
    tally = Tally("real model: finished stages under 1 s")
    run = place.folder / "runs" / "killed"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    for module, *more in STAGES:
        used = children_seconds()
        code = place.run(module, "run=killed", *more)
        used = children_seconds() - used
        print(f"finished {module} {' '.join(more)}: {used:.2f} s", file=sys.stderr, flush=True)
        tally.add(STOPPED if code or used >= 1 else PROMISED, f"{module} {more}: exit {code}, {used:.2f} s")
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    changed = {path.name for path, _ in before.items() ^ after.items()} - {".lock", "_execution.yaml"}
    tally.add(SILENT if changed else PROMISED, f"changed: {sorted(changed)}")
    return tally


def children_seconds() -> float:
    """CPU seconds of all children that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

"""Ask a judge about every text that filtering will score: the reward `judge` (docs/rewards.md).

    python -m judging run=demo iteration=2

Reads runs/demo/questions/, iter_02/initial_answers/ and iter_02/corrections/; with samples_of=<run>, those of that run;
and the judgements of any iteration of both, and in judge.table. Asks about the other texts. Writes iter_02/judgements/.
Does nothing where no reward of the run asks a judge.
"""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from conf.stored import load, samples_run
from conf.strategy import samples_per_question
from filtering.source import Source
from judging.configured import Settings, settings_of
from judging.judge import Judge, Messages
from judging.table import Judgement, Table
from judging.texts import Text, texts_of_split
from store.errors import BadInput, ConfigError, stage_main
from store.run import Run, iteration_number, locked, stage_arguments
from store.schemas import JUDGEMENTS, SPLITS
from store.shards import Manifest, describe_shard, read_bytes, read_shard, verify_shard
from store.stage import archive_superseded, check_no_unexpected_files, fingerprint, finished

HOPELESS = 20  # texts: where none of the first so many new ones can be judged, no more are asked about


def main(argv: list[str]) -> None:
    arguments = stage_arguments(argv, "judging", "run", "iteration")
    run, n = Run(arguments["run"]), iteration_number(arguments["iteration"])
    config, label = load(run, rescored=True), f"iter_{n:02d} judging"
    with locked(run):
        settings = settings_of(run, config)
        if settings is None:
            print(f"{label}: no reward of this run asks a judge", flush=True)
            return
        num_corrections = {split: samples_per_question(config, split).num_corrections for split in SPLITS}
        source = Source(samples_run(run), n, num_corrections, into=run, rounds=config.eval.rounds)
        if finished(source.folder.judgements, settings.identity(), source.parents):
            print(f"{label}: complete", flush=True)
            return
        print(f"{label}: {describe(judge_iteration(run, source, settings, n))}", flush=True)


def judge_iteration(run: Run, source: Source, settings: Settings, n: int) -> dict[str, Any]:
    """Write the judgements of iteration n; return what they come to."""
    folder, parents = source.folder.judgements, source.parents
    header = {
        "stage": "judgements", "iteration": n, "judge": settings.digest,
        "fingerprint": fingerprint(settings.identity(), parents),
    }  # fmt: skip
    if any(read_shard(path)[1]["fingerprint"] != header["fingerprint"] for path in folder.glob("*.parquet")):
        archive_superseded(folder)
    table = Table(folder, header, f"{run.name}/{source.folder.dir.name}", settings.roots)
    stage = Asking(run, settings, table)
    files = []
    with closing(stage):
        for split in SPLITS:
            for file, texts in texts_of_split(source, split, settings.verdict, settings.digest, settings.shows_golds):
                files.append(file)
                if not (folder / file).exists():
                    stage.ask(file, [text for text in texts if not table.has(text.key)])
                    table.publish(split, file, texts)
    table.close()
    check_no_unexpected_files(folder, set(files))
    contents = {file: read_bytes(folder / file) for file in files}
    shards = {file: describe_shard(each, verify_shard(each, folder / file)) for file, each in contents.items()}
    costs = costs_of(table, files)
    num_rows = sum(shard["rows"] for shard in shards.values())
    extra = {"judge": settings.digest, "shows_golds": settings.shows_golds, "costs": costs}
    Manifest("judgements", n, settings.identity(), parents, num_rows, num_rows, 0, shards, extra=extra).write(folder)
    return costs


class Asking:
    """Asks the judge, which is opened for the first question there is, and keeps every answer as it comes."""

    def __init__(self, run: Run, settings: Settings, table: Table) -> None:
        self.settings, self.table = settings, table
        self.spent, self.judged, self.unjudged = table.spent(run.name), 0, 0
        self.judge: Judge | None = None

    def ask(self, file: str, texts: list[Text]) -> None:
        """Have all of these texts of a shard judged, or raise after having kept what was."""
        if not texts:
            return
        self.judge = self.judge or self.settings.open()
        by_key, left = {text.key: text for text in texts}, len(texts)
        began = time.monotonic()
        for answers in self.judge.ask(self.within_budget(texts)):
            seconds = (time.monotonic() - began) / len(answers)
            began, here = time.monotonic(), self.table.here
            found = [Judgement(a.score, a.said, a.prompt_tokens, a.completion_tokens, seconds, here) for a in answers]
            # Those that an earlier start could not have judged come again, perhaps one after another.
            new = [each for answer, each in zip(answers, found, strict=True) if answer.key not in self.table.known]
            lost = [each for each in new if math.isnan(each.score)]
            self.judged, self.unjudged = self.judged + len(new) - len(lost), self.unjudged + len(lost)
            if lost and not self.judged and self.unjudged >= HOPELESS:
                raise BadInput(
                    f"{self.table.folder}: none of the first {self.unjudged} texts could be judged, e.g. "
                    f"{lost[-1].said!r}: fix that and run the same command again, or start a run with another judge"
                )
            self.table.add(file, [by_key[answer.key] for answer in answers], found)
            self.spent, left = self.spent + sum(each.tokens for each in found), left - len(found)
        if left:
            raise ConfigError(
                f"judge.max_total_tokens={self.settings.budget} are used up: {self.spent:,} tokens "
                f"were taken, {left:,} texts of {file} and all of later shards are left. What was judged is kept: "
                "give a larger one to go on, ARGS=judge.max_total_tokens=<number>"
            )

    def within_budget(self, texts: list[Text]) -> Iterator[tuple[str, Messages]]:
        """Yield what the judge is asked, as long as there are tokens left."""
        for text in texts:
            if self.settings.budget is not None and self.spent >= self.settings.budget:
                return
            yield text.key, text.prompt(self.settings.prompt)

    def close(self) -> None:
        """End the judge."""
        if self.judge:
            self.judge.close()


def costs_of(table: Table, files: list[str]) -> dict[str, Any]:
    """Return what the judgements of an iteration took, those alone that were asked for in it."""
    shards = [read_shard(table.folder / file, JUDGEMENTS)[0] for file in files]
    # by key, since two splits may share a text
    found = {row["key"]: row for shard in shards for row in shard.drop("text").to_pylist()}.values()
    asked = [row for row in found if row["asked_in"] == table.here]
    return {
        "num_texts": len(found),
        "num_asked": len(asked),
        "num_unjudged": sum(math.isnan(row["score"]) for row in found),
        "prompt_tokens": sum(row["prompt_tokens"] for row in asked),
        "completion_tokens": sum(row["completion_tokens"] for row in asked),
        "seconds": round(sum(row["seconds"] for row in asked), 3),
    }


def describe(costs: dict[str, Any]) -> str:
    """Return what judging came to, as a line."""
    lost = costs["num_unjudged"]
    return (
        f"{costs['num_texts']:,} texts, {costs['num_asked']:,} asked about, {lost:,} without a judgement, "
        f"{costs['prompt_tokens']:,} + {costs['completion_tokens']:,} tokens, {costs['seconds']:.0f} s"
    )


if __name__ == "__main__":
    stage_main(main)

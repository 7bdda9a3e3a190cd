"""Preference data from a run's own training samples: pairs for DPO, and single texts for KTO, as TRL takes them.

    python -m filtering.preferences run=demo [iteration=2] [per_prompt=1]

A prompt p asks for an initial answer to a question, or for the correction of one. Of the texts Y(p) that were sampled
to p and are neither truncated nor empty, each different one once,

    C(p) = {y in Y(p): r(y) >= t},  I(p) = {y in Y(p): r(y) < t},  in the order of h(seed, question_id, j, k),
    DPO: (p, C(p)_i, I(p)_i)  for i = 1 .. min(m, |C(p)|, |I(p)|),
    KTO: (p, C(p)_i, true)  for i = 1 .. min(m, |C(p)|),  and (p, I(p)_i, false)  for i = 1 .. min(m, |I(p)|),

where r is the run's chosen reward, t its threshold, h a hash and m is per_prompt. Reads iter_02/trajectories/ (rewards)
and the samples they were made from (prompts, texts); no gold answer. Writes iter_02/preferences/.
"""

from collections import Counter

from conf.stored import load, samples_run
from conf.strategy import samples_per_question
from filtering.preference_rows import write
from filtering.source import Source
from filtering.workers import num_processes, spread
from store.errors import ConfigError, CorruptArtifact, stage_main
from store.fingerprint import refuse_difference
from store.publish import sweep_temporaries
from store.run import Run, iteration_number, locked, stage_arguments
from store.schemas import SPLITS
from store.shards import MANIFEST, Manifest, read_manifest, read_shard, required_manifest
from store.stage import archive_superseded, check_no_unexpected_files, fingerprint, finished


def main(argv: list[str]) -> None:
    """Write the preferences of the iteration that the arguments name, or of all that were filtered."""
    given = ["iteration=", "per_prompt=1", *argv]
    arguments = stage_arguments(given, "filtering.preferences", "run", "iteration", "per_prompt")
    run, size = Run(arguments["run"]), arguments["per_prompt"]
    if not (size.isdecimal() and int(size)):
        raise ConfigError(f"per_prompt={size!r} was given, a number of pairs from 1 on was expected")
    config = load(run, rescored=True)
    numbers = [it.number for it in run.iterations() if (it.trajectories / MANIFEST).exists()]
    if arguments["iteration"]:
        numbers = [iteration_number(arguments["iteration"])]
    if not numbers:
        raise ConfigError(f"{run.dir} has no filtered iteration: run `make iterate RUN={run.name}` first")
    num_corrections = {split: samples_per_question(config, split).num_corrections for split in SPLITS}
    with locked(run):
        for n in numbers:
            rounds, judged = config.eval.rounds, config.judge is not None
            source = Source(samples_run(run), n, num_corrections, into=run, rounds=rounds, judged=judged)
            processes = num_processes(config.launcher.filter_processes, source.num_pairs)
            print(f"iter_{n:02d} preferences: {prefer(source, config.seed, int(size), processes)}", flush=True)


def prefer(source: Source, seed: int, per_prompt: int, processes: int = 1) -> str:
    """Write the preferences of an iteration, unless they are there; return a sentence about them. FingerprintMismatch
    where they are there with another per_prompt, CorruptArtifact for trajectories of other samples."""
    folder, iteration = source.folder.preferences, source.folder.number
    made_by = f"python -m filtering run={source.folder.dir.parent.name} iteration={iteration}"
    scored = required_manifest(source.folder.trajectories, made_by)
    if scored.parents != source.parents:
        raise CorruptArtifact(f"{source.folder.trajectories} was made from other samples: run `{made_by}` first")
    settings, parents = {"seed": seed, "per_prompt": per_prompt}, source.parents | {"trajectories": scored.digest}
    if old := read_manifest(folder):
        refuse_difference(str(folder), old.settings, settings, "Move it away, or give the old settings.")
    if manifest := finished(folder, settings, parents):
        return f"complete, {describe(manifest.extra['counts'])}"
    header = {"stage": folder.name, "iteration": iteration, "split": "train",
              "fingerprint": fingerprint(settings, parents)}  # fmt: skip
    if folder.is_dir():
        sweep_temporaries(folder)  # a killed writer's
        if any(read_shard(path)[1]["fingerprint"] != header["fingerprint"] for path in folder.glob("*.parquet")):
            archive_superseded(folder)
    files = source.files("train")
    with spread(min(processes, len(files)), source, scored, header, seed, per_prompt) as each:
        written = each(write, [(file,) for file in files])
    shards = {name: entry for entries, _ in written for name, entry in entries.items()}
    check_no_unexpected_files(folder, set(shards))
    counts = dict(sum((counted for _, counted in written), Counter[str]()))
    rows = sum(entry["rows"] for entry in shards.values())
    Manifest(folder.name, iteration, settings, parents, rows, rows, 0, shards, extra={"counts": counts}).write(folder)
    return describe(counts)


def describe(counts: dict[str, int]) -> str:
    """Return the counts as a sentence; where there is no pair, with what gives some."""
    of = Counter(counts)  # sums leave out what is nowhere
    said = (
        f"{of['correction pairs']:,} pairs from corrections, {of['initial answer pairs']:,} from initial answers; "
        f"{of['correct']:,} correct and {of['incorrect']:,} incorrect texts; of {of['prompts']:,} prompts "
        f"{of['only correct']:,} had only correct texts, {of['only incorrect']:,} only incorrect ones"
    )
    if not of["correction pairs"] + of["initial answer pairs"]:
        said += ": a run with more samples (N_INIT=, N_CORR=) or questions (data.train=) may give pairs"
    return said


if __name__ == "__main__":
    stage_main(main)

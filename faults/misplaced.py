"""Files of a run that are missing, added, of another run, or under another's name; see faults.damage."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from faults.damage import Damage, made, readings
from faults.stages import RUN, Bench, Stage, chain, tree


def misplaced(bench: Bench, stages: Sequence[Stage]) -> Iterator[Damage]:
    """Every file missing for each of its readers and for the stage that made it; every shard and checkpoint file
    replaced by its like from another run, and by its neighbor; a stray shard in every folder of shards."""
    foreign = tree(foreign_run(bench))
    del foreign[f"runs/{RUN}/config.yaml"]  # that of another run makes this run another run, not a damaged one
    for reader, folder, name, content in readings(bench, stages):
        yield Damage("missing", name, None, reader, folder)
        data_file = name.endswith(".parquet") or "/checkpoint/" in name
        if (data_file or reader is None) and foreign.get(name, content) != content:
            yield Damage("of another run", name, foreign[name], reader, folder)
        for neighbor in sorted(folder.joinpath(name).parent.glob("*.parquet")):
            if name.endswith(".parquet") and neighbor.name != Path(name).name:
                yield Damage("under another name", name, neighbor.read_bytes(), reader, folder)
    for stage, folder in zip(stages, [stage.before for stage in stages[1:]] + [bench.whole], strict=True):
        yield from own_files(bench, stage, folder)


def own_files(bench: Bench, stage: Stage, folder: Path) -> Iterator[Damage]:
    """Damages to what a stage itself has made, in `folder`, for the stage and for analysis.verify."""
    own = [name for name in stage.after if made(name) and not (stage.before / name).exists()]
    yield from (Damage("missing", name, None, stage, folder) for name in own)
    shards = {str(Path(name).parent): name for name in own if name.endswith(".parquet")}
    for parent, name in shards.items():
        stray = Damage("stray", f"{parent}/train-99999.parquet", stage.after[name], stage, folder)
        yield stray
        if not stage.naive:
            yield replace(stray, reader=None)


def foreign_run(bench: Bench) -> Path:
    """Return a folder with a run of the same name and shape and another seed."""
    folder = bench.scratch / "foreign"
    if not folder.exists():
        unfinished = folder.with_name("foreign-unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for name, command, argv in chain(bench.scratch):
            seed = ["seed=1"] if name == "configuration" else []
            ended = Stage(name, command, [*argv, *seed], bench.scratch).run(unfinished)
            assert ended.code == 0, ended.said
        unfinished.rename(folder)
    return folder

"""Tell a run's experiment tracker what it does not know yet; nothing to do where the run has none.

    python -m analysis.track run=demo

Reads runs/demo/iter_*/metrics.json and stats/, and report.html. The run has one run in its tracker, whose name is kept
in runs/demo/tracking/<kind>.json. The tracker is asked what it has, or what it keeps in a folder of the run is written
anew as a whole: after a kill, the same command again leaves each iteration once.
"""

import fcntl
import importlib
import json

from analysis.iterations import finished_iterations, metrics_of
from analysis.track.story import Story, files, rows
from conf.identity import EXECUTION, without
from conf.stored import load, read_settings
from conf.tracking import require_tracker
from store.errors import PipelineError, TryAgain, stage_main
from store.fingerprint import digest
from store.publish import make_folder, write_atomic
from store.run import Run, stage_arguments
from store.shards import read_object


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "analysis.track", "run")["run"])
    config = load(run, rescored=True)
    kind = config.tracking.kind
    if kind == "none":
        return
    require_tracker(kind)
    folder = run.dir / "tracking"
    make_folder(folder)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        metrics = [metrics_of(iteration) for iteration in finished_iterations(run)]
        story = Story(
            id=tracked_as(run, kind, [each["trajectories"] for each in metrics]),
            run=run.name,
            project=config.tracking.project,
            settings=without(config.model_dump(mode="json"), EXECUTION),
            rows=rows(run, metrics),
            files=files(run, len(metrics)),
            folder=(folder / kind).absolute(),
        )
        try:
            where = importlib.import_module(f"analysis.track.{kind}").tell(story)
        except (PipelineError, OSError):
            raise
        except Exception as error:  # every tracker has errors of its own
            raise TryAgain(
                f"tracking={kind}: {type(error).__name__}: {error}; the run itself is whole, and "
                f"`.venv/bin/python -m analysis.track run={run.name}` tells the tracker again"
            ) from error
    print(f"{run.name}: iterations so far: {len(metrics)}; {where}", flush=True)


def tracked_as(run: Run, kind: str, trajectories: list[str]) -> str:
    """Return the name of the run's run in its tracker, and keep it before anything is told under it. trajectories: of
    each finished iteration, their digest; where one was told and has been made again since, the name is another."""
    path = run.dir / "tracking" / f"{kind}.json"
    settings = read_settings(run.config)["digest"]
    record = read_object(path) if path.exists() else {"id": f"{run.name}-{settings[:8]}", "told": []}
    told = record["told"]
    if told != trajectories[: len(told)]:
        record["id"] = f"{run.name}-{digest([settings, trajectories])[:8]}"
    write_atomic(path, json.dumps(record | {"told": trajectories}, indent=1).encode(), replace=True)
    return str(record["id"])


if __name__ == "__main__":
    stage_main(main)

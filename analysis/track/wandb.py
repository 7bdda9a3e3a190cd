"""Weights & Biases: an offline run in the run's folder, or whatever WANDB_MODE says."""

import os
import shutil

os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

from analysis.track.story import Story
from store.publish import make_folder


def tell(story: Story) -> str:
    """Log the rows that the run lacks. An offline run is one file that nothing is added to, so it is written anew as a
    whole, under the same id, and put in the place of the earlier one."""
    offline = os.environ.get("WANDB_MODE", "offline") == "offline"
    work = story.folder / ".work"
    shutil.rmtree(work, ignore_errors=True)
    make_folder(work)
    run = wandb.init(
        project=story.project, id=story.id, name=story.run, dir=str(work), config=story.settings,
        mode="offline" if offline else None, resume=None if offline else "allow",
        settings=wandb.Settings(console="off", silent=True, disable_git=True, disable_code=True, x_disable_stats=True,
                                x_disable_meta=True, disable_job_creation=True),
    )  # fmt: skip
    for name, axis in {name: row.axis for row in story.rows for name in row.figures}.items():
        run.define_metric(name, step_metric=axis)
    for row in story.rows[run.step :]:
        run.log(row.values)
    for name, path in story.files.items():
        run.save(str(path), base_path=str(path).removesuffix(name), policy="now")
    run.finish()
    if not offline:
        return f"{run.url or story.project}, run {story.id}"
    (made,) = work.glob("wandb/offline-run-*")
    place = story.folder / "offline-run"
    shutil.rmtree(place, ignore_errors=True)
    os.rename(made, place)
    shutil.rmtree(work)
    return f"{place}; `wandb sync {place}` sends it"

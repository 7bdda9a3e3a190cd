"""TensorBoard: a file of events per iteration, each whole or not there."""

import json
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tensorboardX import SummaryWriter

from analysis.track.story import Row, Story
from store.publish import sweep_temporaries, write_atomic


def tell(story: Story) -> str:
    """Write every iteration's file again, and drop those of iterations that are no longer there."""
    written = set()
    for iteration, rows in groupby(story.rows, key=lambda row: row.iteration):
        path = story.folder / f"events.out.tfevents.{iteration:010d}.stasc"  # TensorBoard reads them by name, in order
        write_atomic(path, events(list(rows), story.settings if iteration == 0 else {}), replace=True)
        written.add(path)
    for path in set(story.folder.glob("events.out.tfevents.*")) - written:
        path.unlink()
    sweep_temporaries(story.folder)
    return f"{story.folder}; `tensorboard --logdir {story.folder}` shows them"


def events(rows: list[Row], settings: dict[str, Any]) -> bytes:
    """Return a file of events with these rows, and with the settings as a text where there are any."""
    with TemporaryDirectory() as folder:
        writer = SummaryWriter(folder)
        if settings:
            lines = (f"    {key}: {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items())
            writer.add_text("settings", "\n".join(lines), walltime=rows[-1].seconds)
        for row in rows:
            for name, value in row.figures.items():
                writer.add_scalar(name, value, row.step, walltime=row.seconds)
        writer.close()
        (file,) = Path(folder).iterdir()
        return file.read_bytes()

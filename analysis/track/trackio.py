"""Trackio: a run of a project in a folder of the run, or wherever TRACKIO_DIR, TRACKIO_SPACE_ID and the like say."""

import os

from analysis.track.story import Story
from store.publish import make_folder


def tell(story: Story) -> str:
    """Log the rows that the run lacks: a resumed run counts them."""
    os.environ.setdefault("TRACKIO_DIR", str(story.folder))
    make_folder(story.folder)
    import trackio  # reads TRACKIO_DIR once, when it is imported

    run = trackio.init(
        project=story.project, name=story.id, config=story.settings, resume="allow", embed=False,
        auto_log_gpu=False, auto_log_cpu=False,
    )  # fmt: skip
    for row in story.rows[run._next_step :]:
        trackio.log(row.values)
    for path in story.files.values():
        trackio.save(path)
    trackio.finish()
    return f"{os.environ['TRACKIO_DIR']}, project {story.project}, run {story.id}"

from collections.abc import Iterator

import pytest

from faults.stages import Bench, prepare, scratch_folder


@pytest.fixture(scope="session")
def bench() -> Iterator[Bench]:
    """The small run of the fault harness, taken through all stages."""
    with scratch_folder() as scratch:
        yield prepare(scratch)

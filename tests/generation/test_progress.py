"""What a long generation shows: no estimate before there is a rate, then that of the last minute."""

import pytest

from generation import progress
from generation.progress import Progress


@pytest.fixture
def shown(monkeypatch, capsys):
    """shown(seconds, samples) -> the line at that time; 4 tokens a sample, 1,000 samples planned."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    bar = Progress("iter_00 generation", 1_000)
    bar.take(0, {"event": "engine", "seconds": 30})

    def line(seconds: float, samples: int, last: bool = False) -> str:
        now[0] = seconds
        bar.take(0, {"event": "progress", "requests": samples, "generated_tokens": 4 * samples})
        bar.show(last)
        return capsys.readouterr().err.strip().splitlines()[-1]

    return line


def test_no_estimate_before_there_is_a_rate(shown):
    assert shown(16, 0).endswith("0 of 1,000 samples, warming up")
    assert shown(32, 160).endswith("160 of 1,000 samples, 20 tokens/s, about 168 s left")


def test_the_estimate_is_of_the_last_minute(shown):
    for seconds, samples in ((20, 0), (40, 0), (60, 0), (80, 100)):
        line = shown(seconds, samples)
    assert line.endswith("100 of 1,000 samples, 7 tokens/s, about 540 s left")
    for seconds, samples in ((100, 200), (120, 300), (140, 400)):
        line = shown(seconds, samples)
    assert line.endswith("400 of 1,000 samples, 20 tokens/s, about 120 s left")
    assert shown(160, 1_000, last=True).endswith("1,000 of 1,000 samples, 25 tokens/s, done")


def test_a_minute_without_a_sample_is_called_that(shown):
    for seconds in (20, 40, 60, 80, 100):
        line = shown(seconds, 100)
    assert line.endswith("100 of 1,000 samples, none finished in the last minute")
    assert shown(120, 200).endswith("200 of 1,000 samples, 7 tokens/s, about 480 s left")

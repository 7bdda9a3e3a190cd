"""Whether time and memory per row stay flat: generation, filtering and the report at 1x, 10x and 100x the rows.

The deterministic engine answers, so generation is all that the stage does around its engine.
"""

import json
from itertools import pairwise

from benchmarks.measure import Row
from benchmarks.place import Place, Spent
from tests.conftest import make_tiny_model

QUESTIONS = 100  # of train at 1x, 3 x 3 of each: 300 initial answers, 900 corrections
SAMPLES = 12 * QUESTIONS
STAGES = {
    "generation": ("generation", "iteration=0"),
    "filtering": ("filtering", "iteration=0"),
    "summary": ("analysis",),
    "report": ("analysis.report",),
}
FLAT = 1.2  # how much more a further sample may cost where there are many
REPEATS = 3  # of every size: a small run's seconds are mostly its start, from which the quickest differs least


def measure(place: Place) -> list[Row]:
    make_tiny_model(place.folder / "model")
    spent = {times: [run_of(place, times, repeat) for repeat in range(REPEATS)] for times in place.size.growth}
    rows = []
    for stage in STAGES:
        for times in place.size.growth:
            own, name = [run[stage] for run in spent[times]], f"{stage} of {SAMPLES * times:,} samples"
            rows.append(Row(f"{name}: per sample", [1000 * each.cpu / (SAMPLES * times) for each in own], "ms"))
            rows.append(Row(f"{name}: peak memory", [each.peak / 1e6 for each in own], "MB"))
        quickest = [min((run[stage] for run in runs), key=lambda each: each.cpu) for runs in spent.values()]
        rows += flatness(stage, quickest, place.size.growth)
    return rows


def flatness(stage: str, spent: list[Spent], growth: tuple[int, ...]) -> list[Row]:
    """Return what a further sample costs, start-up apart: in the last step of growth over that in the first."""
    steps = [SAMPLES * (many - few) for few, many in pairwise(growth)]
    seconds = [(large.cpu - small.cpu) / n for (small, large), n in zip(pairwise(spent), steps, strict=True)]
    memory = (spent[-1].peak - spent[-2].peak) / steps[-1]
    return [
        Row(f"{stage}: time of a further sample, last step / first", [seconds[-1] / seconds[0]], "x", at_most=FLAT),
        Row(f"{stage}: memory of a further sample, last step", [memory], "bytes"),
    ]


def run_of(place: Place, times: int, repeat: int) -> dict[str, Spent]:
    """Return what each stage took on a run of so many times QUESTIONS."""
    name = f"times-{times}-{repeat}"
    questions = place.folder / f"{name}.jsonl"
    colors = ("red", "blue", "green", "amber")
    with open(questions, "w", encoding="utf-8") as file:
        for i in range(2 * QUESTIONS * times):  # a split takes its interval of all questions' hashes
            row = {"question": f"{i}: {' '.join(colors)} or {colors[i % 4]}?", "answers": [colors[i % 4]]}
            file.write(json.dumps(row) + "\n")
    place.start(
        name, "device=cpu", "engine=fake", "data=local", f"data.files.questions.path={questions}",
        f"data.train={QUESTIONS * times}", "data.validation=10", "data.test=10",
        f"model.path={place.folder / 'model'}", "sampling.num_initial=3", "sampling.num_corrections=3",
    )  # fmt: skip
    return {stage: place.stage(command[0], f"run={name}", *command[1:]) for stage, command in STAGES.items()}

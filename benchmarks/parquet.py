"""Rows per second written and read, and what a trajectory weighs on disk."""

from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.measure import Row, alternate, seconds
from benchmarks.place import Place
from benchmarks.texts import Sampler, write_iteration
from conf.stored import load
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run
from store.schemas import CORRECTIONS
from store.shards import decode_shard, encode_shard

SETTINGS = (
    "device=cpu", "data.train=256", "data.validation=64", "data.test=64", "sampling.num_initial=5",
    "sampling.num_corrections=5",
)  # fmt: skip
SHARDS = 4
TABLES = ("initial_answers", "corrections", "trajectories")


def measure(place: Place) -> list[Row]:
    run = place.start("texts", *SETTINGS)
    config = load(run)
    sampler, size = Sampler(run, config, ChatTokenizer(locate(run, 0)[0])), config.launcher.shard_questions
    shards = [sampler.questions[start : start + size] for start in range(0, SHARDS * size, size)]
    parts = [([q | {"split": "train"} for q in questions], *sampler.samples(questions)) for questions in shards]
    corrections = parts[0][2]
    content = encode_shard(corrections, CORRECTIONS, {})
    took = alternate(
        10 * place.size.repeats,
        written=lambda: seconds("cpu", lambda: encode_shard(corrections, CORRECTIONS, {})),
        read=lambda: seconds("cpu", lambda: decode_shard(content, run.dir, CORRECTIONS)),
    )
    scored = place.configure("scored", *SETTINGS)
    write_iteration(scored, parts)
    place.stage("filtering", "run=scored", "iteration=0")
    return [
        *(
            Row(f"corrections {how}, hashed and compressed", [corrections.num_rows / s for s in values], "rows/s")
            for how, values in took.items()
        ),
        *(Row(f"{name}, bytes per row", [weight(getattr(scored.iteration(0), name))], "bytes") for name in TABLES),
        Row("bytes per trajectory, all three tables", [bytes_per_trajectory(scored)], "bytes"),
    ]


def bytes_per_trajectory(run: Run) -> float:
    """Of both texts and the pair, prompts and token ids included."""
    folder = run.iteration(0)
    tables = [folder.dir / name for name in TABLES]
    return sum(path.stat().st_size for table in tables for path in table.glob("*.parquet")) / num_rows(tables[-1])


def weight(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.glob("*.parquet")) / num_rows(folder)


def num_rows(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.glob("*.parquet"))

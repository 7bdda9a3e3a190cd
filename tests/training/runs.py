"""Runs to train in: rows as filtering leaves them, the stage in this process, and what it published."""

from store.checkpoints import RECORD, read_record
from store.publish import write_atomic
from store.run import Run
from store.schemas import SFT
from store.shards import Manifest, describe_shard, encode_shard, read_shard, shard_name
from training.__main__ import main

QUICK = (
    "training.args.learning_rate=0.01", "training.args.bf16=false", "training.stop_check.num_prompts=0",
    "training.throughput.save_strategy=steps", "+training.throughput.save_steps=1",
)  # fmt: skip


def publish_rows(run, iteration, *tables):
    """An sft folder of one shard per table, as filtering leaves it."""
    folder, shards = run.iteration(iteration).sft, {}
    for index, table in enumerate(tables):
        name = shard_name("train", index, len(tables))
        content = encode_shard(table, SFT, {"stage": "filtering", "iteration": iteration})
        write_atomic(folder / name, content, replace=True)
        shards[name] = describe_shard(content, read_shard(folder / name, SFT)[1])
    number = sum(table.num_rows for table in tables)
    Manifest("filtering", iteration, {}, {}, number, number, 0, shards).write(folder)


def train(run: Run, iteration: int = 1) -> None:
    main([f"run={run.name}", f"iteration={iteration}"])


def weights(run, iteration=1):
    record = read_record(run.iteration(iteration).checkpoint / RECORD)
    return record.files["model.safetensors"]["sha256"]

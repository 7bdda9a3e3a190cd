"""What an experiment tracker has of a run: every (figure, step, value), as often as it is there."""

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path

Points = list[tuple[str, int, float]]


def tensorboard(folder: Path) -> Points:
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.glob("*tfevents*")):
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            (length,) = struct.unpack_from("<Q", data)
            event = Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value if v.HasField("simple_value")]
    return found


def mlflow(folder: Path) -> Points:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("stasc").experiment_id])
    return [(m.key, m.step, m.value) for name in run.data.metrics
            for m in client.get_metric_history(run.info.run_id, name)]  # fmt: skip


def trackio(folder: Path) -> Points:
    os.environ["TRACKIO_DIR"] = str(folder)  # read when it is imported first
    from trackio import Api
    from trackio.sqlite_storage import SQLiteStorage

    (run,) = Api().runs("stasc")
    return list(points(SQLiteStorage.get_logs("stasc", run.name, run_id=run.id)))


def wandb(folder: Path) -> Points:
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("offline-run/*.wandb")
    records = map(Record.FromString, leveldb_log(path.read_bytes()[7:], skipped=7))
    histories = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    return list(
        points([{i.key or ".".join(i.nested_key): json.loads(i.value_json) for i in h.item} for h in histories])
    )


READERS = {"tensorboard": tensorboard, "mlflow": mlflow, "trackio": trackio, "wandb": wandb}


def points(rows: list[dict]) -> Iterator[tuple[str, int, float]]:
    """Yield the figures of rows that hold their own step."""
    for row in rows:
        step = row["iteration"] if "iteration" in row else row["training/step"]
        yield from ((name, step, value) for name, value in row.items() if "/" in name and name != "training/step")


def leveldb_log(data: bytes, skipped: int) -> Iterator[bytes]:
    """Yield the records of a log in LevelDB's format, of whose first block `skipped` bytes are cut off."""
    position, record = 0, b""
    while position + 7 <= len(data):
        left = 32768 - (position + skipped) % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""

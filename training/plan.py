"""What M_n is made of: the checkpoint to fine-tune from, the rows, and the fingerprint of both with the settings."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conf.schema import Peft, Strategy, Training
from conf.strategy import fine_tunes_from, rows_from
from store.checkpoints import RECORD, Checkpoint, locate, read_record
from store.errors import ConfigError
from store.fingerprint import refuse_difference
from store.run import Run
from store.shards import Manifest, corrupt, required_manifest
from store.stage import ANOTHER_RUN, fingerprint

VERSIONED = ("peft", "transformers", "trl")


@dataclass(frozen=True)
class KeptRows:
    """D_m, the rows that iteration m kept. made_by: the command that makes them."""

    folder: Path
    manifest: Manifest
    made_by: str


@dataclass(frozen=True)
class Plan:
    """base_folder, base: M_0 (fixed fine-tuning) or M_{n-1} (evolving). rows: D_{n-1}, or with training.rows=all the
    union of D_0 .. D_{n-1}."""

    iteration: int
    base_folder: Path
    base: Checkpoint
    rows: tuple[KeptRows, ...]
    filter: str
    settings: dict[str, Any]

    @property
    def parents(self) -> dict[str, str]:
        names = rows_from(self.settings["rows"], self.iteration)
        rows = {name: kept.manifest.digest for name, kept in zip(names, self.rows, strict=True)}
        return {"checkpoint": self.base.digest} | rows

    @property
    def num_rows(self) -> int:
        """How many rows were kept, repeated ones included."""
        return sum(kept.manifest.written for kept in self.rows)

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.settings, self.parents)


def make_plan(run: Run, iteration: int, seed: int, strategy: Strategy, training: Training, peft: Peft) -> Plan:
    """Return the plan of M_n, n >= 1 (algorithm 1, step 4). CorruptArtifact when what it needs has not been made."""
    base_folder, base = locate(run, fine_tunes_from(strategy.fine_tuning, iteration))
    rows = tuple(kept_rows(run, number) for number in rows_from(training.rows, iteration).values())
    decisive = settings(seed, strategy.fine_tuning, training, peft)
    return Plan(iteration, base_folder, base, rows, strategy.filter, decisive)


def refuse_m_0(run: Run, iteration: int) -> None:
    """Raise ConfigError for iteration 0, whose model is not trained."""
    if iteration == 0:
        raise ConfigError(
            f"iteration=0 was given, but nothing trains M_0: `python -m training.base_model run={run.name}` brings it, "
            "iteration=1 is the first to be trained"
        )


def kept_rows(run: Run, number: int) -> KeptRows:
    """Return D_number; CorruptArtifact when it has not been made."""
    folder, made_by = run.iteration(number).sft, f"python -m filtering run={run.name} iteration={number}"
    return KeptRows(folder, required_manifest(folder, made_by), made_by)


def settings(seed: int, fine_tuning: str, training: Training, peft: Peft) -> dict[str, Any]:
    """Everything that decides the trained weights. Processes, micro-batches, reports and gates do not."""
    return {
        "seed": seed,
        "fine_tuning": fine_tuning,
        "rows": training.rows,
        "batch_size": training.batch_size,
        "num_epochs": training.num_epochs,
        "length_grouping": training.length_grouping,
        "args": training.args,
        "publish_dtype": training.publish_dtype,
        "peft": peft.model_dump(),
        "versions": {package: version(package) for package in VERSIONED},
    }


def is_published(target: Path, plan: Plan) -> bool:
    """Whether `target` is this plan's checkpoint, by its record and its files' sizes.

    FingerprintMismatch when it was trained with other settings; False when its parents were rebuilt since.
    """
    record = read_record(target / RECORD)
    if record is None:
        return False
    refuse_difference(str(target), record.settings, plan.settings, ANOTHER_RUN)
    if record.parents != plan.parents:
        return False
    files = {} if record.alias_of else record.files
    for name, file in files.items():
        if not (target / name).is_file() or (target / name).stat().st_size != file["bytes"]:
            raise corrupt(target / name, "it is missing or has another size than in the checkpoint's record")
    return True

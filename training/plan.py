"""What M_n is made of: the checkpoint to fine-tune from, the rows, and the fingerprint of both with the settings."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from conf.schema import Config
from conf.strategy import fine_tunes_from
from store.checkpoints import RECORD, Checkpoint, locate, read_record
from store.errors import ConfigError
from store.fingerprint import refuse_difference
from store.run import Run
from store.shards import Manifest, corrupt, required_manifest
from store.stage import ANOTHER_RUN, fingerprint

VERSIONED = ("peft", "transformers", "trl")


@dataclass(frozen=True)
class Plan:
    """base_folder, base: M_0 (fixed fine-tuning) or M_{n-1} (evolving). sft: the rows that iteration n-1 kept."""

    iteration: int
    base_folder: Path
    base: Checkpoint
    sft_folder: Path
    sft: Manifest
    make_rows: str  # the command that makes them
    filter: str
    settings: dict[str, Any]

    @property
    def parents(self) -> dict[str, str]:
        return {"sft": self.sft.digest, "checkpoint": self.base.digest}

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.settings, self.parents)


def make_plan(run: Run, config: Config, iteration: int) -> Plan:
    """Return the plan of M_n, n >= 1 (algorithm 1, step 4). CorruptArtifact when what it needs has not been made."""
    if iteration == 0:
        raise ConfigError(
            f"iteration=0 was given, but nothing trains M_0: `python -m training.base_model run={run.name}` brings it, "
            "iteration=1 is the first to be trained"
        )
    base_folder, base = locate(run, fine_tunes_from(config.strategy.fine_tuning, iteration))
    sft_folder = run.iteration(iteration - 1).sft
    make_rows = f"python -m filtering run={run.name} iteration={iteration - 1}"
    sft = required_manifest(sft_folder, make_rows)
    return Plan(iteration, base_folder, base, sft_folder, sft, make_rows, config.strategy.filter, settings(config))


def settings(config: Config) -> dict[str, Any]:
    """Everything that decides the trained weights. Processes, micro-batches, reports and gates do not."""
    training = config.training
    return {
        "seed": config.seed,
        "fine_tuning": config.strategy.fine_tuning,
        "batch_size": training.batch_size,
        "num_epochs": training.num_epochs,
        "length_grouping": training.length_grouping,
        "args": training.args,
        "publish_dtype": training.publish_dtype,
        "peft": config.peft.model_dump(),
        "versions": {package: version(package) for package in VERSIONED},
    }


def is_published(target: Path, plan: Plan) -> bool:
    """Whether `target` is this plan's checkpoint, by its record and its files' sizes.

    FingerprintMismatch when it was trained with other settings; False when its parents were made anew since.
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

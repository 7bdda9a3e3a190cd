"""Hash everything a run holds again, and walk its lineage: what each part was made from must be what is there.

    python -m analysis.verify run=demo

Reads runs/demo/, the run whose samples it scores (samples_of) and the folder of M_0; writes nothing and takes no lock.
Ends with exit code 5 and names every file that is damaged, missing, unexpected or in no record.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from conf.stored import samples_run, verify_checksum
from conf.strategy import fine_tunes_from, rows_from
from store.checkpoints import RECORD, locate, verify_folder
from store.errors import ConfigError, CorruptArtifact, PipelineError, stage_main
from store.fingerprint import digest, digest_bytes
from store.run import PLAN, Iteration, Run, stage_arguments
from store.shards import REMEDY, Manifest, corrupt, read_bytes, read_manifest, read_object, verify_shard
from store.stage import fingerprint

PARTS = (
    "checkpoint",
    "initial_answers",
    "corrections",
    "judgements",
    "trajectories",
    "rounds",
    "sft",
    "preferences",
    "metrics.json",
    "stats",
    "logs",
)
DAMAGED = "damaged"  # the digest of a part that has a fault: what was made from it is not blamed for that


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "analysis.verify", "run")["run"])
    if not run.dir.is_dir():
        raise ConfigError(f"{run.dir} is not there: `python -m analysis.status` lists the runs that are")
    walk = Walk(run)
    walk.run_parts()
    print(f"{run.dir}: {walk.num_files:,} files, {walk.num_bytes / 1e6:,.1f} MB hashed", flush=True)
    if walk.faults:
        listing = "\n  ".join(walk.faults)
        raise CorruptArtifact(
            f"{run.dir} should be whole and has {len(walk.faults)} faults:\n  {listing}\n"
            f"Move what is named away and run `make iterate RUN={run.name}`: what is missing is rebuilt"
        )
    print("every file is as it was written, and was made from what is there", flush=True)


class Walk:
    """A way through a run's parts, in the order they were made. digests: of each part that is there, by its path."""

    def __init__(self, run: Run) -> None:
        self.run = self.source = run  # source: the run whose questions, models and samples these are
        self.digests: dict[Path, str] = {}
        self.faults: list[str] = []
        self.num_files = self.num_bytes = 0

    def run_parts(self) -> None:
        """Verify everything; what is wrong is in `faults` then."""
        self.attempt(self.run.config, verify_checksum, self.run)
        if not self.faults and samples_run(self.run) != self.run:
            self.source = samples_run(self.run)
            self.attempt(self.source.config, verify_checksum, self.source)
        self.attempt(self.source.questions, self.shards, self.source.questions)
        if self.source.base_model.exists():
            self.attempt(self.source.base_model, self.model, 0)
        for run in dict.fromkeys((self.source, self.run)):
            for iteration in run.iterations():
                if run == self.source:
                    self.sampled_parts(iteration)
                self.scored_parts(iteration, self.source.iteration(iteration.number))

    def sampled_parts(self, iteration: Iteration) -> None:
        """M_n and all it generated."""
        number, answers = iteration.number, iteration.initial_answers
        if iteration.checkpoint.exists():
            self.attempt(iteration.checkpoint, self.model, number)
        sampled = {
            "questions": self.source.questions,
            "checkpoint": self.model_path(number),
            "initial_answers": self.source.iteration(0).initial_answers,  # where they are reused
        }
        self.attempt(answers, self.shards, answers, sampled)
        corrected = answers
        for corrections in (iteration.corrections, *iteration.further_corrections):
            self.attempt(corrections, self.shards, corrections, sampled, {corrected.name: corrected})
            corrected = corrections
        self.attempt(iteration.dir / PLAN, self.plan, iteration)

    def scored_parts(self, iteration: Iteration, samples: Iteration) -> None:
        """Verify what filtering made of the samples of an iteration, which may be another run's."""
        joined = {
            "questions": self.source.questions,
            "initial_answers": samples.initial_answers,
            "corrections": samples.corrections,
        } | {corrections.name: corrections for corrections in samples.further_corrections}
        if iteration.judgements.exists():
            self.attempt(iteration.judgements, self.shards, iteration.judgements, joined)
            joined = joined | {"judgements": iteration.judgements}
        self.attempt(iteration.trajectories, self.shards, iteration.trajectories, joined)
        if iteration.rounds.exists():
            self.attempt(iteration.rounds, self.shards, iteration.rounds, joined)
        made = {"trajectories": iteration.trajectories, "metrics": iteration.metrics}
        self.attempt(iteration.metrics, self.metrics, iteration)
        self.attempt(iteration.sft, self.shards, iteration.sft, joined, made)
        if iteration.preferences.exists():
            chosen_from = joined | {"trajectories": iteration.trajectories}
            self.attempt(iteration.preferences, self.shards, iteration.preferences, chosen_from)
        for entry in iteration.dir.iterdir():
            known = entry.name in PARTS or entry in iteration.further_corrections
            if not known and not entry.name.startswith((".", "_")):
                self.faults.append(f"{entry}: no stage made it")

    def attempt(self, path: Path, verify: Callable[..., str | None], *arguments: Any) -> None:
        """Keep the digest that `verify` gives for the part at `path`, or the fault it raises."""
        known = len(self.faults)
        try:
            found = verify(*arguments)
        except PipelineError as error:
            self.faults.append(str(error).removesuffix(f". {REMEDY}"))
            found = None
        if len(self.faults) > known:
            self.digests[path] = DAMAGED
        elif found:
            self.digests[path] = found

    def read(self, path: Path) -> bytes:
        content = read_bytes(path)
        self.num_files += 1
        self.num_bytes += len(content)
        return content

    def model_path(self, number: int) -> Path:
        return self.source.iteration(number).checkpoint if number else self.source.base_model

    def model(self, number: int) -> str:
        """M_n: every file of its folder, and what it was trained from."""
        folder, record = locate(self.source, number)
        verify_folder(folder, record)
        self.num_files += len(record.files)
        self.num_bytes += sum(file["bytes"] for file in record.files.values())
        if "sft" in record.parents:  # else it is another run's, whose files these are
            base = fine_tunes_from(record.settings.get("fine_tuning", ""), number)
            rows = rows_from(record.settings.get("rows", ""), number)
            made_from = {name: self.source.iteration(m).sft for name, m in rows.items()}
            made_from["checkpoint"] = self.model_path(base)
            self.compare(self.source.iteration(number).checkpoint / RECORD, record.parents, made_from)
        return record.digest

    def shards(
        self, folder: Path, parents: Mapping[str, Path] | None = None, beside: Mapping[str, Path] | None = None
    ) -> str | None:
        """Verify a stage's folder and return its digest; None when it is not finished.

        parents: where what it was made from lies; beside: the same for the digests it states in `extra`.
        """
        manifest = read_manifest(folder)
        names = manifest.shards if manifest else [path.name for path in folder.glob("*.parquet")]
        for name in sorted(names):  # shards of an unfinished stage are in no manifest, they verify themselves
            self.attempt(folder / name, self.shard, folder / name, manifest)
        if manifest is None:
            print(f"{folder}: not finished", flush=True)
            return None
        for path in folder.iterdir():
            if not path.name.startswith((".", "_")) and path.name not in (*manifest.shards, "README.md"):
                self.faults.append(f"{path}: no manifest names it")
        for name, sha256 in manifest.extra.get("reports", {}).items():
            if digest_bytes(self.read(folder / name)) != sha256:
                raise corrupt(folder / name, "its content does not match the sha256 in the manifest")
        for split, reference in manifest.reused.items():
            first = Path(os.path.normpath(folder / reference["folder"]))
            self.compare(folder, {f"{split} answers": reference["digest"]}, {f"{split} answers": first})
        if parents is not None:
            self.compare(folder, manifest.parents, parents)
            self.compare(folder, {name: manifest.extra[name] for name in beside or {}}, beside or {})
        return manifest.digest

    def shard(self, path: Path, manifest: Manifest | None) -> None:
        header = verify_shard(self.read(path), path)
        if manifest is None:
            return
        stated = manifest.shards[path.name]
        if (header["sha256"], header["rows"]) != (stated["sha256"], stated["rows"]):
            raise corrupt(path, "it is not the file that the manifest names")
        if header["fingerprint"] != fingerprint(manifest.settings, manifest.parents):
            raise corrupt(path, "it belongs to another run, iteration or setting than its manifest")

    def metrics(self, iteration: Iteration) -> str | None:
        return digest_bytes(self.read(iteration.metrics)) if iteration.metrics.exists() else None

    def plan(self, iteration: Iteration) -> None:
        """Verify the plan of generation: whole, and the one that its shards were made by."""
        path = iteration.dir / PLAN
        manifest = read_manifest(iteration.initial_answers)
        if manifest is None and not path.exists():
            return
        values = read_object(path)
        self.read(path)
        if values.pop("digest", None) != digest(values):
            raise corrupt(path, "it was edited: its content does not match its digest")
        if manifest and fingerprint(values["settings"], values["parents"]) != fingerprint(
            manifest.settings, manifest.parents
        ):
            raise corrupt(path, f"{iteration.initial_answers} was made by another plan")

    def compare(self, path: Path, stated: Mapping[str, str], parents: Mapping[str, Path]) -> None:
        """Faults for stated digests of parents that are not what lies there."""
        for name, sha256 in stated.items():
            found = self.digests.get(parents[name], "nothing")
            if found not in (sha256, DAMAGED):
                self.faults.append(f"{path}: made from {name} {sha256[:12]}, {parents[name]} is {found[:12]}")


if __name__ == "__main__":
    stage_main(main)

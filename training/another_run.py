"""M_n of a run that evaluates another's models (models_of): a reference to it, with nothing trained."""

from store.checkpoints import RECORD, locate, publish_reference, read_record
from store.run import Iteration, Run
from store.stage import archive_superseded


def refer(target: Iteration, source: Run) -> None:
    """Publish M_n as the model that `source` has now; CorruptArtifact where it has none yet."""
    folder, model = locate(source, target.number)
    label, parents = f"{target.dir.name} training", {"checkpoint": model.digest}
    record = read_record(target.checkpoint / RECORD)
    if record is not None:
        if record.parents == parents:
            print(f"{label}: complete", flush=True)
            return
        moved = archive_superseded(target.checkpoint)
        print(f"{target.checkpoint}: {source.name} has another M_{target.number}; moved to {moved.name}", flush=True)
    publish_reference(target.checkpoint, model, folder, {"models_of": source.name}, parents)
    print(f"{label}: M_{target.number} is that of {source.name}, {model.digest[:12]}", flush=True)

"""MLflow: a run of an experiment, in a database of the run's folder or wherever MLFLOW_TRACKING_URI says."""

import os
import shutil
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from analysis.track.story import Story
from store.publish import make_folder

URI = "MLFLOW_TRACKING_URI"
MOST = 500  # metrics of a request, of the 1,000 that MLflow takes; parameters of one: 100
LONGEST = 6000  # characters of a parameter


def tell(story: Story) -> str:
    """Log what the run lacks: of each figure the steps that its history does not have."""
    make_folder(story.folder)
    uri = os.environ.get(URI) or database(story.folder)
    client = MlflowClient(tracking_uri=uri)
    run_id = find_or_create(client, story)
    lacking = [
        Metric(name, value, round(1000 * row.seconds), row.step)
        for row in story.rows for name, value in row.figures.items()
    ]  # fmt: skip
    names = sorted({metric.key for metric in lacking})
    told = {name: {metric.step for metric in client.get_metric_history(run_id, name)} for name in names}
    lacking = [metric for metric in lacking if metric.step not in told[metric.key]]
    for start in range(0, len(lacking), MOST):
        client.log_batch(run_id, metrics=lacking[start : start + MOST])
    for name, path in story.files.items():
        client.log_artifact(run_id, str(path), name.rpartition("/")[0] or None)
    client.set_terminated(run_id)
    return f"{uri}, experiment {story.project}, run {story.id}"


def database(folder: Path) -> str:
    """Return the URI of the database in a folder, made where there is none: aside first, since one whose tables were
    half made when MLflow was killed is of no more use."""
    path, aside = folder / "mlflow.db", folder / ".making"
    if not path.exists():
        shutil.rmtree(aside, ignore_errors=True)
        make_folder(aside)
        MlflowClient(tracking_uri=f"sqlite:///{aside / path.name}").search_experiments()
        os.rename(aside / path.name, path)
        shutil.rmtree(aside)
    return f"sqlite:///{path}"


def find_or_create(client: MlflowClient, story: Story) -> str:
    """Return MLflow's own name of the run that is called story.id; its parameters are the settings."""
    experiment = client.get_experiment_by_name(story.project)
    if experiment is None:
        artifacts = None if os.environ.get(URI) else (story.folder / "artifacts").as_uri()
        experiment_id = client.create_experiment(story.project, artifact_location=artifacts)
    else:
        experiment_id = experiment.experiment_id
    found = client.search_runs([experiment_id], f"tags.stasc = '{story.id}'")
    run = found[0] if found else client.create_run(experiment_id, run_name=story.id, tags={"stasc": story.id})
    params = [Param(key, str(value)[:LONGEST]) for key, value in story.settings.items()]
    for start in range(0, len(params), 100):
        client.log_batch(run.info.run_id, params=params[start : start + 100])
    return str(run.info.run_id)

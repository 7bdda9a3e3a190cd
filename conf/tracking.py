"""The libraries of experiment trackers: in no lock, so a run that names one without it is refused before it begins."""

from importlib.util import find_spec

from store.errors import ConfigError

PACKAGES = {  # {tracking.kind: {module: what pip installs}}
    "none": {},
    "tensorboard": {"tensorboardX": "tensorboardX==2.6.5"},
    "wandb": {"wandb": "wandb==0.31.0"},
    "mlflow": {"mlflow": "mlflow-skinny==3.17.2", "sqlalchemy": "sqlalchemy==2.1.9", "alembic": "alembic==1.20.1"},
    "trackio": {"trackio": "trackio==0.43.0"},
}


def require_tracker(kind: str) -> None:
    """Raise ConfigError, with the command that installs it, where the library of a tracker is missing."""
    packages = PACKAGES[kind]
    missing = [module for module in packages if find_spec(module) is None]
    if missing:
        install = ".venv/bin/python -m pip install -c .venv/pins.txt"
        raise ConfigError(
            f"tracking={kind} needs {', '.join(missing)}, which is in no lock: install it, "
            f"`{install} {' '.join(packages.values())}`, or give tracking=none"
        )

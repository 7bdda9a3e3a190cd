"""Somebody else's learning curves behind the run's own: the paper's series, say."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from store.errors import ConfigError

COLUMNS = {
    "train": {"t1": "train_init", "t2": "train_corr"},
    "test": {"t1": "test_init", "t2": "test_corr"},
}


class Overlay(NamedTuple):
    """series: {split: {"t1" | "t2": shares from iteration 0 on}}."""

    label: str
    series: dict[str, dict[str, list[float]]]


def read_overlay(path: Path, settings: dict[str, Any]) -> Overlay:
    """Read the one row of a JSON list that has the run's strategy, n_init, n_corr and, where several do, its model.

    A row: {"model", "strategy", "n_init", "n_corr", "train_init", "train_corr", "test_init", "test_corr"}; the last
    four are lists of shares by iteration. ConfigError when no row or more than one fits.
    """
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        labels = [label(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"overlay={path} cannot be read ({error!r}): a JSON list of series was expected") from None
    sampling = settings["sampling"]
    wanted = settings["strategy"]["name"], sampling["num_initial"], sampling["num_corrections"]
    fitting = [row for row in rows if (row["strategy"], row["n_init"], row["n_corr"]) == wanted]
    if len(fitting) > 1:
        repo = (settings["model"]["hub"] or {}).get("repo")
        fitting = [row for row in fitting if row["model"] == repo]
    if len(fitting) != 1:
        raise ConfigError(
            f"overlay={path} has {len(fitting)} series of {wanted[0]} {wanted[1]} x {wanted[2]} for this model, one "
            f"was expected; it has {', '.join(labels)}: give a file with the one to draw"
        )
    (row,) = fitting
    series = {
        split: {figure: row[column] for figure, column in columns.items() if column in row}
        for split, columns in COLUMNS.items()
    }
    return Overlay(label(row), series)


def label(row: dict[str, Any]) -> str:
    return f"{row['model']} {row['strategy']} {row['n_init']} x {row['n_corr']}"

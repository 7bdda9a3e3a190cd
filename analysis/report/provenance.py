"""Where a run's numbers come from: what it cost, its settings, its lineage, and the rows that no figure counts."""

import shlex
from collections import Counter
from typing import Any

from analysis.record import IterationRecord, RunRecord
from store.fingerprint import flatten

COLUMNS_OF_COST = {
    "seconds": "{:,.0f}",
    "prompt_tokens": "{:,.0f}",
    "cached_share": "{:.0f}",
    "generated_tokens": "{:,.0f}",
    "trained_tokens": "{:,.0f}",
    "engine_starts": "{:,.0f}",
    "peak_memory_gib": "{:.1f}",
}
MAX_SET_ASIDE = 50  # rows shown of a folder


def costs(record: RunRecord) -> list[dict[str, Any]]:
    """Return a row per iteration and stage, and their sums."""
    rows = []
    total: Counter[str] = Counter()
    for iteration in record.iterations:
        for stage in ("training", "generation", "filtering"):
            if stage in iteration.costs:
                cost = iteration.costs[stage] | {"rows": rows_of(iteration, stage)}
                total.update({name: value for name, value in cost.items() if isinstance(value, int | float)})
                total["peak_memory_bytes"] = max(cost.get("peak_memory_bytes", 0), total["peak_memory_bytes"])
                rows.append(cost_row(iteration.number, stage, cost))
    return [*rows, cost_row(None, "all", dict(total) | {"rows": None})]


def rows_of(iteration: IterationRecord, stage: str) -> int:
    """Return the rows that a stage wrote, or was trained on."""
    manifests = iteration.manifests
    if stage == "generation":
        return manifests["initial_answers"].written + manifests["corrections"].written
    return manifests["trajectories"].written if stage == "filtering" else iteration.costs["training"]["rows"]


def cost_row(iteration: int | None, stage: str, cost: dict[str, Any]) -> dict[str, Any]:
    values = dict(cost)
    if values.get("prompt_tokens"):
        values["cached_share"] = 100 * values["cached_tokens"] / values["prompt_tokens"]
    if values.get("peak_memory_bytes"):
        values["peak_memory_gib"] = values["peak_memory_bytes"] / 2**30
    formats = {"rows": "{:,}"} | COLUMNS_OF_COST
    cells = {
        name: {"value": values[name], "text": form.format(values[name])} if values.get(name) is not None else None
        for name, form in formats.items()
    }
    key = "all" if iteration is None else f"{iteration}.{stage}"
    return {"iteration": iteration, "stage": stage, "key": key, "cells": cells}


def quarantined(record: RunRecord) -> list[dict[str, Any]]:
    """Folders with quarantined rows: how many, by reason, and the first of them."""
    folders = []
    for name, rows in record.quarantined.items():
        codes: Counter[str] = Counter()
        for row in rows:
            codes[row["code"]] += row.get("rows", 1)
        columns = list(dict.fromkeys(key for row in rows[:MAX_SET_ASIDE] for key in row))
        folders.append(
            {
                "name": name,
                "num_rows": codes.total(),
                "codes": ", ".join(f"{count:,} {code}" for code, count in codes.most_common()),
                "columns": columns,
                "rows": rows[:MAX_SET_ASIDE],
                "entries": len(rows),
            }
        )
    return folders


def settings(record: RunRecord) -> dict[str, Any]:
    """Return the command that makes the same run, and every setting by section."""
    source = record.settings["samples_of"]
    made_by = f"rescore FROM={source}" if source else f"iterate N={record.iterations[-1].number}"
    overrides = [override for override in record.overrides if not override.startswith("samples_of=")]
    arguments = f" ARGS={shlex.quote(shlex.join(overrides))}" if overrides else ""
    groups: list[dict[str, Any]] = []
    loose = {key: value for key, value in record.settings.items() if not isinstance(value, dict)}
    for name, section in {"run": loose, **record.settings}.items():
        if isinstance(section, dict):
            entries = [(key, in_words(value)) for key, value in flatten(section).items()]
            preset = section.get("name", section.get("source", section.get("kind", ""))) if name != "run" else ""
            groups.append({"name": name, "preset": preset, "entries": entries})
    return {"command": f"make {made_by} RUN={record.name}{arguments}", "settings": groups}


def in_words(value: Any) -> str:
    """Return a setting's value; chat messages as a chat."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and "role" in value[0]:
        return "\n".join(f"[{message['role']}] {message['content']}" for message in value)
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "(none)"
    return "–" if value is None else str(value)


def lineage(record: RunRecord) -> list[dict[str, Any]]:
    """Every artifact in the order of its making: digest, rows, and what it was made from."""
    base = record.iterations[0].checkpoint
    rows: list[dict[str, Any]] = [
        {"name": "questions", "digest": record.questions.digest, "rows": record.questions.written,
         "parents": record.questions.parents},
        {"name": "M_0", "digest": base.digest, "rows": None, "parents": {}},
    ]  # fmt: skip
    for iteration in record.iterations:
        if iteration.number:
            checkpoint = iteration.checkpoint
            rows.append(
                {"name": f"M_{iteration.number}", "digest": checkpoint.digest, "rows": None,
                 "parents": checkpoint.parents}
            )  # fmt: skip
        for stage, manifest in iteration.manifests.items():
            rows.append(
                {"name": f"iter_{iteration.number:02d}/{stage}", "digest": manifest.digest, "rows": manifest.written,
                 "parents": manifest.parents}
            )  # fmt: skip
    return rows

"""No row to train on: what a weak model and a strict filter give (the paper's "failed to converge")."""

import json
from typing import Any

from store.checkpoints import publish_reference
from store.errors import NoTrainingRows
from store.run import Iteration
from store.shards import corrupt, read_bytes
from training.plan import Plan

MEANING = {
    "i->c": "wrong, then right",
    "c->c": "correct twice",
    "c->i": "right, then wrong",
    "i->i": "wrong twice",
}

TRUNCATED = (
    "first of all answers that end (more than half of the corrections are truncated): a larger sampling.max_tokens, or "
    "the token that ends this model's answers in sampling.args.stop_token_ids; then "
)


def keep_model_or_stop(plan: Plan, earlier: Iteration, target: Iteration, on_empty: str) -> None:
    """Publish M_n as its base, by reference, or raise NoTrainingRows; both tell why, with the transition table.

    earlier: the iteration that kept no row. on_empty: "keep_model" or "stop".
    """
    path = earlier.metrics
    try:
        train = json.loads(read_bytes(path))["splits"]["train"]
        why = explain(train, plan.filter)
    except (ValueError, KeyError, TypeError) as error:
        raise corrupt(path, f"it has no transitions of the train split ({error!r})") from None
    if on_empty == "stop":
        raise NoTrainingRows(
            f"{why}\nNothing was published. Start another run with one of these changed, or go on with the untrained "
            f"model: training.on_empty=keep_model"
        )
    publish_reference(target.checkpoint, plan.base, plan.base_folder, plan.settings, plan.parents)
    print(f"iter_{target.number:02d} training: {why}\nM_{target.number} is its base, {plan.base_folder}", flush=True)


def explain(train: dict[str, Any], filter_name: str) -> str:
    """Return the transition table of the train split's entry in metrics.json, and what would keep rows."""
    counts = {name: train["transitions"][name]["count"] for name in MEANING}
    share = 1 / max(train["num_pairs"], 1)
    lines = (f"  {name}  {counts[name]:>9,}  {counts[name] * share:>7.2%}  {MEANING[name]}" for name in MEANING)
    share_truncated = train.get("correction_truncation_rate") or 0
    advice = TRUNCATED if share_truncated > 0.5 else ""
    advice += "more questions (data.train=), more samples (N_INIT=, N_CORR=), a stronger MODEL="
    if filter_name == "improving":
        advice += ", or a strategy with N in the middle, whose filter keeps what is correct twice as well"
    table = "\n".join(lines)
    return f"the {filter_name} filter kept none of {train['num_pairs']:,} pairs\n{table}\nWhat gives rows: {advice}."

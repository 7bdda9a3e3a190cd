"""The screen after filtering: how the model does on every split, and what is kept of the training pairs."""

from typing import Any

COLUMNS = "{:<11}{:>9}{:>9}{:>8}{:>8}{:>9}{:>8}{:>8}{:>8}{:>8}{:>8}{:>10}"


def describe(summary: dict[str, Any], trains: bool = True) -> str:
    """Return the transition table, and for a run that trains the reasons; where nothing is kept, what to change."""
    titles = ("split", "questions", "pairs", "t1", "t2", "delta", "i->c", "c->i", "c->c", "i->i", "copies", "truncated")
    lines = [COLUMNS.format(*titles)]
    lines += [COLUMNS.format(split, *cells(metrics)) for split, metrics in summary["splits"].items()]
    if not trains:
        return "\n".join(lines)
    train = summary["splits"]["train"]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in train["reasons"].items())
    lines.append(f"kept {train['num_kept']:,} of {train['num_pairs']:,} train pairs ({reasons})")
    truncated = train["initial_truncation_rate"] or 0, train["correction_truncation_rate"] or 0
    if 0.1 < max(truncated) <= 0.5:
        lines.append(
            f"truncated at sampling.max_tokens: {percent(truncated[0])} of initial answers, {percent(truncated[1])} of "
            "corrections; these are scored as they are and never trained: another run with more tokens may keep more"
        )
    if summary["compat"]:
        lines.append(f"not the paper's text: compat {', '.join(summary['compat'])}")
    if train["num_kept"] == 0:
        lines.append(advice(summary["filter"]["name"]))
        if (train["correction_truncation_rate"] or 0) > 0.5:
            lines.append(
                "More than half of the corrections are truncated: first raise sampling.max_tokens, or name the token "
                "that ends this model's answers in sampling.args.stop_token_ids."
            )
    return "\n".join(lines)


def cells(metrics: dict[str, Any]) -> list[str]:
    """Return a split's row: counts as they are, rates in per cent."""
    transitions = [transition["count"] for transition in metrics["transitions"].values()]
    counts = [metrics["num_questions"], metrics["num_pairs"]]
    rates = [metrics["t1"], metrics["t2"], metrics["delta"]]
    shares = [metrics["copy_rate"], metrics["correction_truncation_rate"]]
    return [
        *(f"{count:,}" for count in counts),
        *(percent(rate) for rate in rates),
        *(f"{count:,}" for count in transitions),
        *(percent(share) for share in shares),
    ]


def percent(rate: float | None) -> str:
    return "-" if rate is None else f"{100 * rate:.1f} %"


def advice(name: str) -> str:
    """Say what gives rows to train on where the filter `name` kept none."""
    wider = "strategy=ENF (it also keeps answers that were correct and stayed correct), " if name == "improving" else ""
    return (
        f"Nothing to train on: filter {name} kept no pair. Start another run with more samples "
        f"(sampling.num_initial=, sampling.num_corrections=), {wider}fewer bounds (filter.*), more questions "
        "(data.train=) or a stronger model (model=)."
    )

"""What a reader of a run's numbers should know before believing them."""

from collections.abc import Iterator

from analysis.record import RunRecord

MANY_CUT_OFF = 0.05
MANY_COPIES = 0.5


def warnings(record: RunRecord) -> list[str]:
    """One sentence for each, the gravest first."""
    return [*of_progress(record), *of_questions(record), *of_texts(record)]


def of_progress(record: RunRecord) -> Iterator[str]:
    """Yield iterations that are missing or taught nothing, and rows that no figure counts."""
    if record.unfinished:
        yield f"{', '.join(record.unfinished)} not finished when this report was made: not in it."
    for iteration in [] if record.settings.get("models_of") else record.iterations[1:]:
        if iteration.checkpoint.alias_of is not None:
            yield f"M_{iteration.number} is the model it was to be trained from: no row was kept for it."
    num_quarantined = sum(m.quarantined for it in record.iterations for m in it.manifests.values())
    if num_quarantined:
        yield f"{num_quarantined:,} generated rows were quarantined and are in none of the figures."


def of_questions(record: RunRecord) -> Iterator[str]:
    """Yield what train and test share, and questions that give their answer away."""
    shared = record.questions.extra["overlap"].get("train/test", {})
    for kind, words in (("near_duplicate", "are near duplicates of"), ("shared_answer", "share a gold answer with")):
        if shared.get(kind):
            yield f"{shared[kind]:,} of {shared['questions']:,} test questions {words} training questions."
    if record.settings["data"]["allow_unpinned"]:
        yield "The questions' revision is not pinned (data.allow_unpinned): another day may give others."
    test = record.iterations[-1].metrics["splits"]["test"]
    if inside := test["gold_in_question"]["num_pairs"]:
        yield f"In {inside:,} of {test['num_pairs']:,} test pairs the question contains a gold answer."


def of_texts(record: RunRecord) -> Iterator[str]:
    """Yield what In-accuracy may be fooled by, and corrections that are none."""
    last = record.iterations[-1]
    test = last.metrics["splits"]["test"]
    for flag, words in (("negation", "deny the gold answer"), ("enumeration", "list candidates")):
        if count := test["flags"].get(f"correction_{flag}", 0):
            yield f"{count:,} of {test['num_pairs']:,} test corrections of M_{last.number} counted as correct {words}."
    if (test["correction_truncation_rate"] or 0) > MANY_CUT_OFF:
        yield f"{test['correction_truncation_rate']:.0%} of M_{last.number}'s corrections on test were truncated."
    if (test["copy_rate"] or 0) > MANY_COPIES:
        yield f"{test['copy_rate']:.0%} of M_{last.number}'s corrections on test repeat the initial answer verbatim."

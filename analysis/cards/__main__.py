"""Write the cards of a run: what a folder holds, where it comes from, and what it may be used for.

    python -m analysis.cards run=demo

Reads runs/demo/. Writes README.md into every iter_*/trajectories/, iter_*/sft/ and iter_*/checkpoint/; a checkpoint's
digest does not cover it. The YAML at its top is what the Hugging Face hub and its dataset viewer read.
"""

import os
from pathlib import Path
from typing import Any

import pyarrow as pa

from analysis import recipes, transfer
from analysis.record import IterationRecord, RunRecord, read_record
from analysis.results import Results, compute_results
from analysis.stats.intervals import Estimate
from conf.strategy import fine_tunes_from
from store.checkpoints import CARD
from store.errors import stage_main
from store.publish import write_atomic
from store.run import Run, stage_arguments
from store.schemas import SPLITS, sft, trajectories

TEMPLATES = Path(__file__).parent / "templates"
LICENSES = {  # of the questions
    "nq": "cc-by-sa-3.0",
    "nq_paper": "cc-by-sa-3.0",
    "web_questions": "cc-by-4.0",
    "hotpot_qa": "cc-by-sa-4.0",
    "gsm8k": "mit",
}
COLUMNS = {
    "question_id": "key, with init_index and corr_index",
    "init_index": "which of the question's initial answers, from 0",
    "corr_index": "which of that answer's corrections, from 0",
    "split": "train, validation or test",
    "question": "the question as given",
    "answers": "gold aliases, any one of them is correct",
    "initial_answer": "y1, as generated",
    "correction": "y2, as generated",
    "initial_final_answer": "y1's final answer, normalized",
    "correction_final_answer": "y2's final answer, normalized",
    "initial_reward": "the chosen reward of y1",
    "correction_reward": "the chosen reward of y2",
    "transition": "incorrect (i) or correct (c) before and after: i->c, c->i, c->c, i->i",
    "kept": "whether the next model is trained on it",
    "reason": "why it is kept or not",
    "flags": "where the reward deserves a second look",
    "initial_finish_reason": "stop, or length where y1 ran out of tokens",
    "correction_finish_reason": "stop, or length where y2 ran out of tokens",
    "initial_num_tokens": "tokens of y1, its stop token included",
    "correction_num_tokens": "tokens of y2, its stop token included",
    "prompt": "the chat up to what is trained",
    "completion": "what is trained, one assistant turn",
    "input_ids": "prompt and completion, exactly the tokens that were sampled",
    "verdict": "what the correction says of y1: keep, replace, or missing",
    "contradicted": "whether something else follows than the verdict announces",
    "completion_init_index": "the init_index of the sample that is the completion",
    "completion_corr_index": "its corr_index, -1 for an initial answer",
    "completion_mask": "1 on the completion's tokens, its stop token included; 0 on the prompt",
}
TRAINED = (
    "improving", "kept_correct", "unfiltered", "random", "initial_correct", "gold", "sibling", "first_turn",
)  # fmt: skip
SIZES = {1e3: "n<1K", 1e4: "1K<n<10K", 1e5: "10K<n<100K", 1e6: "100K<n<1M", 1e7: "1M<n<10M", 1e8: "10M<n<100M"}


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "analysis.cards", "run")["run"])
    record = read_record(run)
    results, transfers = compute_results(record), transfer.transfers(run)
    num_cards = 0
    for iteration in record.iterations:
        folder = run.iteration(iteration.number)
        cards = {folder.trajectories: trajectories_card(record, results, iteration)}
        cards[folder.sft] = sft_card(record, iteration)
        of_another = record.settings["samples_of"] or record.settings.get("models_of")
        if iteration.number and not of_another:
            cards[folder.checkpoint] = model_card(record, results, iteration, transfers)
        for target, card in cards.items():
            write_atomic(target / CARD, str(card).encode() + b"\n", replace=True)
        num_cards += len(cards)
    print(f"{run.dir}: {num_cards} cards written", flush=True)


def trajectories_card(record: RunRecord, results: Results, iteration: IterationRecord) -> Any:
    """Return the dataset card of iter_n/trajectories/."""
    metrics = {}
    for split in SPLITS:
        figures, counts = results.figures[split][iteration.number], iteration.metrics["splits"][split]
        numbers = [*(entry["count"] for entry in counts["transitions"].values()), counts["num_kept"]]
        cells = [percent(figures["t1"]), percent(figures["t2"]), *(f"{number:,}" for number in numbers)]
        metrics[split] = " | ".join(cells)
    scoring = iteration.manifests["trajectories"].settings["scoring"]
    schema = trajectories(scoring["rewards"], "verdict" in scoring)
    return dataset_card(
        record, iteration, "trajectories", schema, metrics=metrics, reasons="",
        description="Every pair of an initial answer and its correction, kept for training or not, with its rewards.",
    )  # fmt: skip


def sft_card(record: RunRecord, iteration: IterationRecord) -> Any:
    """Return the dataset card of iter_n/sft/."""
    train = iteration.metrics["splits"]["train"]
    reasons = train.get("trained_rows", train["reasons"])
    target = record.settings["strategy"]["trains_on"]
    trained = "corrections and initial answers" if target == "both" else target.replace("_", " ")
    schema = sft(iteration.manifests["sft"].extra.get("is_mixed", False))
    verb = "would be" if record.settings["samples_of"] else "is"
    return dataset_card(
        record, iteration, "sft", schema, metrics=None,
        reasons=", ".join(f"{reasons[name]:,} {name}" for name in TRAINED if name in reasons) or "none is",
        description=f"The {trained} that M{iteration.number + 1} {verb} trained on, as chats and as tokens.",
    )  # fmt: skip


def dataset_card(record: RunRecord, iteration: IterationRecord, stage: str, schema: pa.Schema, **values: Any) -> Any:
    """Return a card for the Parquet files of a stage; one split per prefix of the files' names."""
    from huggingface_hub import DatasetCard, DatasetCardData

    manifest, settings = iteration.manifests[stage], record.settings
    splits = [split for split in SPLITS if any(name.startswith(f"{split}-") for name in manifest.shards)]
    files = [{"split": split, "path": f"{split}-*.parquet"} for split in splits]
    rows = {
        split: sum(shard["rows"] for name, shard in manifest.shards.items() if name.startswith(f"{split}-"))
        for split in splits
    }
    title = f"{record.name}: {stage} of iteration {iteration.number}"
    card_data = DatasetCardData(
        pretty_name=title,
        language="en",
        license=LICENSES.get(settings["data"]["source"], "unknown"),
        annotations_creators="machine-generated",
        size_categories=next(name for size, name in SIZES.items() if manifest.written < size),
        task_categories=["question-answering", "text-generation"],
        tags=["self-correction", "stasc"],
        configs=[{"config_name": "default", "data_files": files}] if files else None,
    )
    facts = common(record, iteration) | values
    folder = f"runs/{record.name}/iter_{iteration.number:02d}/{stage}"
    facts |= {"title": title, "rows": rows, "digest": manifest.digest, "folder": folder, "columns": columns(schema)}
    return DatasetCard.from_template(card_data, template_path=str(TEMPLATES / "dataset.md"), **facts)


def model_card(
    record: RunRecord, results: Results, iteration: IterationRecord, transfers: list[transfer.Transfer]
) -> Any:
    """Return the model card of M_n."""
    from huggingface_hub import EvalResult, ModelCard, ModelCardData

    number, settings, checkpoint = iteration.number, record.settings, iteration.checkpoint
    title = f"{record.name}: M{number}"
    test = results.figures["test"][number]
    base, source = record.iterations[0].checkpoint, record.iterations[0].checkpoint.source
    card_data = ModelCardData(
        model_name=title,
        language="en",
        license=model_license(record),
        base_model=source.get("hub") or (settings["model"]["hub"] or {}).get("repo"),
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=["self-correction", "stasc"],
        eval_results=[
            EvalResult(
                task_type="question-answering",
                dataset_type=settings["data"]["source"],
                dataset_name=settings["data"]["source"],
                dataset_split="test",
                metric_type="accuracy",
                metric_name=name,
                metric_value=round(100 * test[figure].value, 2),
            )
            for figure, name in (("t1", "initial answers correct (%)"), ("t2", "corrections correct (%)"))
        ],
    )
    before = record.iterations[number - 1]
    trained_from = fine_tunes_from(settings["strategy"]["fine_tuning"], number)
    folder = Path(f"runs/{record.name}/iter_{number:02d}/checkpoint")
    facts = common(record, iteration) | {
        "title": title,
        "alias_of": checkpoint.alias_of,
        "trained_from": f"M<sub>{trained_from}</sub>",
        "base": base.digest,
        "num_rows": before.manifests["sft"].written,
        "sft": before.manifests["sft"].digest,
        "training": describe_training(settings),
        "digest": checkpoint.digest,
        "results": [result_row(split, results, number) for split in SPLITS],
        "against_base": results.against_base["test"][number].words(),
        "recipe": list(recipes.describe(settings, {number: iteration.metrics})),
        "correcting": results.deltas["test"][number].words(),
        "transfers": [words for each in transfers for words in transfer_words(each, number)],
        "folder": os.path.normpath(checkpoint.weights(folder)),
    }
    return ModelCard.from_template(card_data, template_path=str(TEMPLATES / "model.md"), **facts)


def common(record: RunRecord, iteration: IterationRecord) -> dict[str, Any]:
    """Return what every card of an iteration says."""
    settings, sampling = record.settings, record.settings["sampling"]
    strategy, source = settings["strategy"], settings["data"]["source"]
    return {
        "run": record.name,
        "number": iteration.number,
        "model": settings["model"]["path"] or settings["model"]["name"],
        "model_license": model_license(record),
        "checkpoint": iteration.checkpoint.digest,
        "source": source,
        "source_license": LICENSES.get(source, "unknown license"),
        "num_initial": sampling["num_initial"],
        "num_corrections": sampling["num_corrections"],
        "temperature": sampling["temperature"],
        "top_p": sampling["top_p"],
        "max_tokens": sampling["max_tokens"],
        "reward": iteration.metrics["reward"],
        "threshold": iteration.metrics["threshold"],
        "filter": iteration.metrics["filter"]["name"],
        "strategy": f"{strategy['name']}: initialization {strategy['initialization']}, filter {strategy['filter']}, "
        f"fine-tuning {strategy['fine_tuning']}",
        "compat": ", ".join(name for name, on in settings["compat"].items() if on),
    }


def model_license(record: RunRecord) -> str:
    """Of the base model; unknown for a folder of the user's."""
    return record.iterations[0].checkpoint.source.get("license", "unknown")


def columns(schema: pa.Schema) -> list[tuple[str, str, str]]:
    """(name, type, meaning) of every column."""
    rows = []
    for field in schema:
        side, _, reward = field.name.partition("_")
        words = COLUMNS.get(field.name) or f"reward {reward} of {'y1' if side == 'initial' else 'y2'}"
        rows.append((field.name, type_in_words(field.type), words))
    return rows


def type_in_words(kind: pa.DataType) -> str:
    """list<int32>, messages."""
    if pa.types.is_list(kind):
        return "messages" if pa.types.is_struct(kind.value_type) else f"list of {kind.value_type}"
    return str(kind)


def result_row(split: str, results: Results, number: int) -> dict[str, Any]:
    figures, delta = results.figures[split][number], results.deltas[split][number].difference
    return {
        "split": split,
        "num_questions": figures["t2"].num_questions,
        "t1": percent(figures["t1"]),
        "t2": percent(figures["t2"]),
        "delta": percent(delta),
    }


def transfer_words(moved: transfer.Transfer, number: int) -> list[str]:
    """Return what M_n did on another set; [] where it was not asked yet."""
    rows = [row for row in moved.rows if row.number == number]
    return [
        f"On {moved.source}, reward {moved.reward}, without training on it (`{moved.run}`): "
        f"t1 {percent(row.figures['t1'])}, t2 {percent(row.figures['t2'])}; against M<sub>0</sub>'s: "
        f"{transfer.in_words(row)}"
        for row in rows
    ]


def describe_training(settings: dict[str, Any]) -> str:
    training, peft = settings["training"], settings["peft"]["kind"]
    kind = "full fine-tuning" if peft == "none" else peft
    arguments = ", ".join(f"{name} {value}" for name, value in training["args"].items())
    return f"{kind}, epochs {training['num_epochs']}, batch size {training['batch_size']}, {arguments}"


def percent(estimate: Estimate) -> str:
    if estimate.value != estimate.value:
        return "–"
    return estimate.with_interval()


if __name__ == "__main__":
    stage_main(main)

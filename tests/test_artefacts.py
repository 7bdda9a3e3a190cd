"""What a run leaves is read by anybody's tools: DuckDB, pyarrow, datasets, TRL."""

import json
from pathlib import Path

import duckdb
import pyarrow.dataset
import pytest


def test_duckdb_gives_the_numbers_of_metrics_json(finished):
    query = """
        select split, avg((initial_reward >= 0.5)::int), avg((correction_reward >= 0.5)::int), sum(kept::int), count(*)
        from read_parquet($files) group by split
    """
    for n in (0, 1):
        folder = finished.run("demo") / f"iter_{n:02d}"
        metrics = json.loads((folder / "metrics.json").read_text())["splits"]
        rows = duckdb.execute(query, {"files": str(folder / "trajectories" / "*.parquet")}).fetchall()
        assert {row[0] for row in rows} == set(metrics)
        for split, t1, t2, kept, pairs in rows:
            found = metrics[split]
            assert (t1, t2) == pytest.approx((found["t1"], found["t2"]))
            assert (kept, pairs) == (found["num_kept"], found["num_pairs"])


TABLES = [
    "questions",
    *(f"iter_01/{name}" for name in ("initial_answers", "corrections", "trajectories")),
    "iter_00/sft",
]


@pytest.mark.parametrize("table", TABLES)
def test_every_table_is_read_by_datasets_and_pyarrow(finished, table, tmp_path):
    from datasets import load_dataset

    folder = finished.run("demo") / table
    loaded = load_dataset("parquet", data_files=str(folder / "*.parquet"), split="train", cache_dir=str(tmp_path))
    assert len(loaded) == pyarrow.dataset.dataset(folder).count_rows() > 0


def test_another_machines_trl_trains_on_sft_in_three_lines(finished, tiny_model, tmp_path):
    from datasets import load_dataset
    from trl import SFTConfig, SFTTrainer

    data = load_dataset(
        "parquet", data_files=str(finished.run("demo") / "iter_00" / "sft" / "*.parquet"), split="train",
        cache_dir=str(tmp_path),
    )  # fmt: skip
    arguments = SFTConfig(
        output_dir=str(tmp_path), use_cpu=True, max_steps=2, report_to="none", save_strategy="no", bf16=False
    )
    trainer = SFTTrainer(model=str(tiny_model), args=arguments, train_dataset=data)
    batch = next(iter(trainer.get_train_dataloader()))
    trained = [[i for i in row if i != -100] for row in batch["labels"].tolist()]
    completions = [[i for i, m in zip(row["input_ids"], row["completion_mask"], strict=True) if m] for row in data]
    assert all(row in completions for row in trained)
    trainer.train()


def test_the_checkpoint_is_a_complete_model_folder(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = finished.run("demo") / "iter_01" / "checkpoint"
    assert AutoModelForCausalLM.from_pretrained(folder).num_parameters() > 0
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_sft_rows_are_the_sampled_tokens(finished):
    folder = finished.run("demo") / "iter_00"
    rows = duckdb.sql(f"""
        select s.input_ids = c.prompt_token_ids || c.token_ids, list_sum(s.completion_mask) = len(c.token_ids),
               s.input_ids[-1] = c.token_ids[-1], c.finish_reason
        from '{Path(folder)}/sft/*.parquet' s join '{folder}/corrections/*.parquet' c
        using (question_id, init_index, corr_index)
    """).fetchall()
    assert rows
    assert set(rows) == {(True, True, True, "stop")}

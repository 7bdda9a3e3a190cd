"""compat.separate_training_prompt: what is trained, from the samples to the model."""

import json

import pyarrow.parquet as pq

from training.separate_prompt import with_prompts


def test_corrections_are_trained_to_the_other_prompt_and_to_nothing_else(workspace, tiny_model):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    quick = ("strategy.filter=none", "training.stop_check.num_prompts=0", "data.train=4")
    workspace.iterate("theirs", 1, "compat.separate_training_prompt=true", *quick)
    folder = workspace.run("theirs") / "iter_00"
    corrections = {
        (row["question_id"], row["init_index"], row["corr_index"]): row
        for row in pq.read_table(folder / "corrections").to_pylist()
    }
    questions = {
        row["question_id"]: row["question"] for row in pq.read_table(workspace.run("theirs") / "questions").to_pylist()
    }
    stored = pq.read_table(folder / "sft")
    for row in with_prompts(stored, tiny_model, {}).to_pylist():
        correction = corrections[row["question_id"], row["init_index"], row["corr_index"]]
        (message,) = row["prompt"]
        assert f"Question: {questions[row['question_id']]}\n" in message["content"]
        assert f"Proposed answer: {correction['initial_answer']}\n" in message["content"]
        prompt_ids = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, return_dict=False)
        assert row["input_ids"] == prompt_ids + correction["token_ids"]
        assert row["input_ids"] != correction["prompt_token_ids"] + correction["token_ids"]
        assert row["completion_mask"] == [0] * len(prompt_ids) + [1] * len(correction["token_ids"])
    costs = json.loads((workspace.run("theirs") / "iter_01/stats/training.json").read_text())
    assert costs["rows"] == stored.num_rows > 0
    assert costs["trained_tokens"] == sum(map(len, stored["input_ids"].to_pylist()))

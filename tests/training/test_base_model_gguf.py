"""A GGUF file becomes a folder with the same weights, tokenizer, template and stop tokens."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
WIDTH, VOCABULARY = 8, 3 + 256 + 2


def alphabet() -> list[str]:
    """The 256 characters that stand for bytes in a byte-level vocabulary."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    moved = {byte: chr(256 + n) for n, byte in enumerate(b for b in range(256) if b not in plain)}
    return [moved.get(byte, chr(byte)) for byte in range(256)]


def write_gguf(path: Path, pre: str, two_matrices: bool) -> dict[str, np.ndarray]:
    """A llama of one layer with random weights; its vocabulary is the bytes, two spaces, and two line ends."""
    tensors = {
        f"blk.0.{name}.weight": (WIDTH, WIDTH)
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    }
    tensors |= {"blk.0.attn_norm.weight": (WIDTH,), "blk.0.ffn_norm.weight": (WIDTH,), "output_norm.weight": (WIDTH,)}
    tensors["token_embd.weight"] = (VOCABULARY, WIDTH)
    if two_matrices:
        tensors["output.weight"] = (VOCABULARY, WIDTH)
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(VOCABULARY)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*SPECIALS, *alphabet(), "ĠĠ", "ĊĊ"])
    writer.add_token_types([3] * 3 + [1] * 258)
    writer.add_token_merges(["Ġ Ġ", "Ċ Ċ"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    random = np.random.default_rng(0)
    values = {name: random.standard_normal(shape).astype(np.float32) for name, shape in tensors.items()}
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return values


@pytest.fixture(scope="module")
def smollm(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    from training.base_model.gguf import convert

    folder = tmp_path_factory.mktemp("smollm")
    values = write_gguf(folder / "tiny.gguf", "smollm", two_matrices=False)
    convert(folder / "tiny.gguf", folder / "model", ["<|im_end|>", "<|endoftext|>"], tied=False)
    return folder / "model", values


def test_the_folder_is_a_whole_model_folder(smollm):
    from store.checkpoints import describe_folder
    from training.base_model.folder import check_model

    folder, _ = smollm
    check_model(folder)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= describe_folder(folder).keys()


def test_the_weights_are_the_files_in_bfloat16(smollm):
    import torch
    from transformers import AutoModelForCausalLM

    folder, values = smollm
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    embeddings = torch.from_numpy(values["token_embd.weight"]).bfloat16()
    assert torch.equal(model.get_input_embeddings().weight, embeddings)
    assert torch.equal(model.get_output_embeddings().weight, embeddings)
    up = torch.from_numpy(values["blk.0.ffn_up.weight"]).bfloat16()
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, up)


def test_template_and_stop_tokens_come_along(smollm):
    from transformers import AutoTokenizer

    folder, _ = smollm
    tokenizer = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "hi"}]
    assert tokenizer.apply_chat_template(messages, tokenize=False) == "<|im_start|>user\nhi<|im_end|>\n"
    assert tokenizer.encode("<|im_end|>") == [tokenizer.eos_token_id] == [2]
    assert json.loads((folder / "generation_config.json").read_text())["eos_token_id"] == [2, 0]


@pytest.mark.parametrize(("text", "pieces"), [("a  1", ["a", "ĠĠ", "1"]), ("a\n\n12", ["a", "ĊĊ", "1", "2"])])
def test_white_space_before_a_digit_is_one_piece_for_smollm(smollm, text, pieces):
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(smollm[0]).tokenize(text) == pieces


def test_qwen_text_is_composed(tmp_path):
    from training.base_model.gguf import read_tokenizer

    write_gguf(tmp_path / "tiny.gguf", "qwen2", two_matrices=False)
    tokenizer = read_tokenizer(tmp_path / "tiny.gguf")
    assert tokenizer.encode("Cafe\u0301") == tokenizer.encode("Café")


def test_an_unknown_way_of_splitting_text_is_refused(tmp_path):
    from training.base_model.gguf import read_tokenizer

    write_gguf(tmp_path / "tiny.gguf", "of-tomorrow", two_matrices=False)
    with pytest.raises(AssertionError, match="of-tomorrow"):
        read_tokenizer(tmp_path / "tiny.gguf")


def test_of_two_copies_of_a_tied_matrix_the_output_is_kept(tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from training.base_model.gguf import convert

    values = write_gguf(tmp_path / "tiny.gguf", "smollm", two_matrices=True)
    convert(tmp_path / "tiny.gguf", tmp_path / "model", ["<|im_end|>"], tied=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, torch.from_numpy(values["output.weight"]).bfloat16())


def test_a_log_gets_no_progress_bar(tmp_path):
    write_gguf(tmp_path / "model.gguf", "smollm", two_matrices=True)
    stage = (
        "from pathlib import Path; from training.base_model import __main__ as base; base.keep_bars_out_of_logs(); "
        "import huggingface_hub, sys; from training.base_model.gguf import convert; "
        "convert(Path(sys.argv[1]), Path(sys.argv[2]), ['<|im_end|>'], True)"
    )
    command = [sys.executable, "-c", stage, str(tmp_path / "model.gguf"), str(tmp_path / "folder")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

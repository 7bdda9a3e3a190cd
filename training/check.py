"""Say what would keep M_0 from being trained with a run's settings, before any sample is drawn. No weights are loaded.

    python -m training.check run=demo

Reads runs/demo/config.yaml and base_model.json; prints a list of findings in JSON, empty where all is well. Generation
runs it before the first engine starts, and says what it finds beside its own findings.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from conf.schema import Peft, Training
from conf.stored import load
from store.checkpoints import locate
from store.errors import ConfigError, stage_main
from store.run import Run, stage_arguments


def main(argv: list[str]) -> None:
    run = Run(stage_arguments(argv, "training.check", "run")["run"])
    config, base = load(run), locate(run, 0)[0]
    print(json.dumps(list(findings(config.training, config.peft, config.device, base))))


def findings(training: Training, peft: Peft, device: str, base: Path) -> Iterator[str]:
    """Yield every setting and tensor with which training would end before its first step."""
    import torch
    from peft import get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from training.arguments import lora_config, sft_config
    from training.model_folder import check_names

    def arguments() -> None:
        if device == "cpu" or torch.cuda.is_available():  # SFTConfig looks for the GPU
            with tempfile.TemporaryDirectory() as work:
                sft_config(training, 0, device == "cpu", Path(work))

    yield from said(arguments)
    try:
        with torch.device("meta"):  # names and shapes alone
            model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(base))
    except Exception as error:  # the library raises bare ones, for a type it does not know as for a wrong shape
        line = str(error).strip().splitlines()[0]
        yield f"{base / 'config.json'}: transformers makes no model of it ({type(error).__name__}: {line})"
        return
    yield from said(lambda: check_names(model, base))

    def adapters() -> None:
        if (given := lora_config(peft, model)) is not None:
            try:
                get_peft_model(model, given, low_cpu_mem_usage=True)
            except ValueError as error:
                raise ConfigError(f"peft.args: {str(error).splitlines()[0]}") from None

    yield from said(adapters)


def said(check: Callable[[], object]) -> Iterator[str]:
    """Yield what a check refuses with."""
    try:
        check()
    except ConfigError as error:
        yield str(error)


if __name__ == "__main__":
    stage_main(main)

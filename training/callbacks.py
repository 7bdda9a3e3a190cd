"""What is done at every optimizer step: stop when it went wrong, mark what was saved, say how far it is."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from store.errors import TrainingDiverged
from training.resume import mark_complete

PROGRESS_SECONDS = 10


class StopOnDivergence(TrainerCallback):
    """Raises TrainingDiverged at the first step whose loss or gradient norm is of no use.

    batch_names(step) gives the names of the rows in a step's batch, steps counted from 1. The trainer logs every
    step before it saves, so nothing of a step that went wrong is ever kept.
    """

    def __init__(self, batch_names: Callable[[int], list[str]]):
        self.batch_names = batch_names

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in logs:
            return
        loss, grad_norm = logs["loss"], logs.get("grad_norm", 0.0)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            why = "a number is not finite: lower training.args.learning_rate, or look at these rows"
        elif loss == 0.0:
            why = "no token was trained, or the model already gives all of them probability 1"
        else:
            return
        raise TrainingDiverged(
            f"training stopped at step {state.global_step} of {state.max_steps}, nothing was published: loss {loss}, "
            f"gradient norm {grad_norm}; {why}. Rows of the batch: {', '.join(self.batch_names(state.global_step))}"
        )


class MarkSaved(TrainerCallback):
    """Marks a trainer checkpoint once every process has written its part."""

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if torch.distributed.is_initialized():
            torch.distributed.barrier()
        if state.is_world_process_zero:
            mark_complete(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class Progress(TrainerCallback):
    """A line every ten seconds: steps done, loss, trained tokens per second, time left.

    tokens_until[step]: how many tokens all steps up to this one train.
    """

    def __init__(self, label: str, tokens_until: Sequence[int]):
        self.label = label
        self.tokens_until = tokens_until

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.first_step = state.global_step
        self.started = self.shown = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        now = time.monotonic()
        last = state.global_step == state.max_steps
        if "loss" not in logs or not state.is_world_process_zero or not (last or now - self.shown > PROGRESS_SECONDS):
            return
        self.shown = now
        done = state.global_step - self.first_step
        seconds = now - self.started
        rate = (self.tokens_until[state.global_step] - self.tokens_until[self.first_step]) / seconds
        left = seconds / done * (state.max_steps - state.global_step)
        print(
            f"{self.label}: step {state.global_step}/{state.max_steps}, loss {logs['loss']:.3f}, "
            f"{rate:,.0f} trained tokens/s, {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )

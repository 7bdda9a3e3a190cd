"""The generation stage beside its own engine called directly and beside transformers.generate, in one process."""

import faulthandler
import os
import random
import shutil
from typing import Any

from benchmarks import floor
from benchmarks.measure import Row, alternate, clock, ratios
from benchmarks.model import model_settings
from benchmarks.place import Place
from benchmarks.recorder import Recorder
from benchmarks.whole_iteration import DEFAULT_SAMPLES, PAPERS_SAMPLES, Iterations, iterate, stage_rows
from conf.stored import load
from generation.configured import plan_of, settings_of
from generation.context import ShardContext
from generation.engines import open_engine
from generation.engines.interface import Request
from generation.events import Reporter
from generation.jobs import ShardQueue
from generation.manifests import write_manifests
from generation.plan import load_or_write_plan
from generation.samples import RequestBuilder
from generation.sampling import sample
from generation.tokenization import ChatTokenizer
from store.checkpoints import locate
from store.run import Run

# The paper's, and its authors' code's; max_tokens stays that of the size measured.
PAPER = ("sampling.temperature=0.6", "sampling.top_p=0.9")
SAMPLINGS = {"demo": "T 0.7", "paper": "T 0.6 and top-p 0.9"}  # by the run that samples so


def measure(place: Place) -> list[Row]:
    settings = (f"device={place.size.device}", *place.size.settings, *model_settings(place))
    run, paper = place.start("demo", *settings), place.start("paper", *settings, *PAPER)
    iterations = {run.name: iterate(place, run), paper.name: iterate(place, paper)}
    comparison = Comparison(place, run, paper)
    try:
        rows = comparison.measure()
    finally:
        comparison.engine._engine.engine_core.shutdown()  # in multi-process mode a process of its own
    estimated = [row for name, sampling in SAMPLINGS.items()
                for row in comparison.at_full_size(iterations[name], name, sampling)]  # fmt: skip
    return [
        *stage_rows(place, iterations[run.name].stage),
        *(row for name, sampling in SAMPLINGS.items() for row in iterations[name].rows(sampling)),
        *rows,
        *estimated,
    ]


class Comparison:
    """One engine, on which all contestants run in turn; each returns seconds per generated token.

    The engine is opened with top-p, which requests can do without; opened without, it could not be had.
    """

    def __init__(self, place: Place, run: Run, paper: Run) -> None:
        self.place, self.run, self.config = place, run, load(run)
        self.folder, _ = locate(run, 0)
        tokenizer = ChatTokenizer(self.folder)
        self.stops = list(tokenizer.stop_token_ids)
        opened = load(paper)
        stops = tokenizer.stop_token_ids
        self.engine = open_engine(opened.engine, opened.sampling, opened.device, self.folder, stops)
        sampling = self.config.sampling
        with_top_p = dict(self.engine._sampling)
        own = {"temperature": sampling.temperature, "top_p": sampling.top_p}
        self.samplings = {paper.name: with_top_p, run.name: with_top_p | {"extra_args": None} | own}
        self.tokens_per_sample: dict[str, float] = {}
        self.took: dict[str, list[float]] = {}
        self.recorder = Recorder(self.engine)

    def measure(self) -> list[Row]:
        self.stage("demo")  # once to record the requests, and to warm up
        requests, completions = self.recorder.requests, self.recorder.completions
        cached = [100 * self.recorder.cached_share(corrections) for corrections in (False, True)]
        tokens = sum(len(completion.token_ids) for completion in completions)
        computed = sum(len(request.prompt_token_ids) for request in requests) + tokens
        computed -= sum(completion.num_cached_tokens for completion in completions)
        model = self.left_padded(requests)
        top_p = {key: value for key, value in self.samplings["paper"].items() if key in ("top_p", "extra_args")}
        self.took = alternate(
            self.place.size.repeats,
            demo=lambda: self.stage("demo"),
            direct=lambda: self.direct(requests),
            bare=lambda: self.direct(requests, seeded=False),
            shuffled=lambda: self.direct(random.Random(0).sample(requests, len(requests))),
            paper=lambda: self.stage("paper"),
            our_top_p=lambda: self.direct(requests, **top_p),
            vllm_top_p=lambda: self.direct(requests, top_p=0.9),
            transformers=model.generate,
            flops=lambda: floor.matmul_rate(self.config.device),
        )
        return self.rows(self.took, cached, 2 * model.num_parameters * computed / tokens)

    def rows(self, took: dict[str, list[float]], cached: list[float], operations: float) -> list[Row]:
        """took: seconds per generated token; cached: shares of prompt tokens, in per cent; operations: of the matrix
        products for each generated token, its share of the prompts included."""
        rates = {name: [1 / seconds for seconds in values] for name, values in took.items()}
        shares = [100 * operations * rate / flops for rate, flops in zip(rates["demo"], took["flops"], strict=True)]
        overhead, over_bare = (percent_more(took["demo"], took[other]) for other in ("direct", "bare"))
        return [
            Row("prompt tokens from the prefix cache, initial answers", [cached[0]], "%"),
            Row("prompt tokens from the prefix cache, corrections", [cached[1]], "%", at_least=60),
            Row("tokens generated by the stage", rates["demo"], "tokens/s"),
            Row(f"tokens generated by the stage, {SAMPLINGS['paper']}", rates["paper"], "tokens/s"),
            Row("by the engine called directly on the same token ids", rates["direct"], "tokens/s"),
            Row("the same without seeds", rates["bare"], "tokens/s"),
            Row("the same in random order", rates["shuffled"], "tokens/s"),
            Row("the same with top-p 0.9", rates["our_top_p"], "tokens/s"),
            Row("the same with vLLM's own top-p 0.9", rates["vllm_top_p"], "tokens/s"),
            Row("by transformers.generate, left-padded", rates["transformers"], "tokens/s"),
            Row("the stage's overhead over the direct engine", overhead, "%", at_most=3),
            Row("the same over one without seeds", over_bare, "%", at_most=3),
            Row("what seeds add", percent_more(took["direct"], took["bare"]), "%"),
            Row("what random order adds", percent_more(took["shuffled"], took["direct"]), "%"),
            Row("what top-p 0.9 adds", percent_more(took["our_top_p"], took["direct"]), "%"),
            Row("what vLLM's own top-p 0.9 adds", percent_more(took["vllm_top_p"], took["direct"]), "%"),
            Row("stage / transformers.generate", ratios(took["transformers"], took["demo"]), "x", at_least=3),
            Row("share of the matrix rate that generation reaches", shares, "%"),
        ]

    def at_full_size(self, iterations: Iterations, run: str, sampling: str) -> list[Row]:
        """Return what the iterations of a run come to for as many samples as `make iterate` and the paper draw."""
        rates, rows = [1 / seconds for seconds in self.took[run]], []
        for samples in (DEFAULT_SAMPLES, PAPERS_SAMPLES):
            ours, theirs = iterations.at_size(samples, self.tokens_per_sample[run], rates)
            target = (
                4 if run == "paper" and samples == PAPERS_SAMPLES else None
            )  # published code samples as the paper says
            rows += [
                Row(f"estimated for {samples:,} samples, {sampling}: the stage", [ours], "s"),
                Row("the same by an engine for each phase / the stage", [theirs / ours], "x", at_least=target),
            ]
        return rows

    def left_padded(self, requests: list[Request]) -> Any:
        """transformers.generate on a part of the requests: initial answers and corrections as there are of them."""
        from benchmarks.left_padded import LeftPadded  # with torch, which vLLM wants to set up

        some = requests[:: max(1, len(requests) // self.place.size.requests)]
        return LeftPadded(self.folder, self.config, self.stops, [request.prompt_token_ids for request in some])

    def stage(self, sampling: str) -> float:
        """Do what a worker does once its engine stands, and the manifests: from questions to published shards."""
        self.engine._sampling = self.samplings[sampling]
        shutil.rmtree(self.run.iteration(0).dir, ignore_errors=True)
        plan = load_or_write_plan(self.run.iteration(0).dir, plan_of(self.run, self.config, 0))
        tokenizer = ChatTokenizer(self.folder)  # a new one: nothing is tokenized yet
        recorder = Recorder(self.engine)
        self.reset()
        started = clock(self.config.device)
        context = ShardContext(self.run, plan)
        builder = RequestBuilder.of(settings_of(self.config), 0, tokenizer.encode, self.folder)
        with open(os.devnull, "w") as events:
            reporter = Reporter(os.dup(events.fileno()), self.config.launcher.hang_seconds)
            sample(ShardQueue(plan.shards, 0, 1), context, recorder, builder, tokenizer, reporter)
        counts = reporter.counts
        write_manifests(self.run, plan)
        took = clock(self.config.device) - started
        faulthandler.cancel_dump_traceback_later()  # the worker's watchdog
        self.recorder = recorder
        self.tokens_per_sample[sampling] = counts["generated_tokens"] / counts["requests"]
        return took / counts["generated_tokens"]

    def direct(self, requests: list[Request], seeded: bool = True, **changes: Any) -> float:
        """Run these requests, all submitted at once to vLLM's own engine, run to their end."""
        engine, core = self.engine, self.engine._engine
        self.reset()
        started, tokens = clock(self.config.device), 0
        for number, request in enumerate(requests):
            seed = {"seed": request.seed} if seeded else {}
            params = engine._params(**(self.samplings["demo"] | changes), **seed)
            core.add_request(str(number), {"prompt_token_ids": request.prompt_token_ids}, params)
        while core.has_unfinished_requests():
            tokens += sum(len(output.outputs[0].token_ids) for output in core.step() if output.finished)
        return (clock(self.config.device) - started) / tokens

    def reset(self) -> None:
        assert self.engine._engine.reset_prefix_cache()


def percent_more(this: list[float], other: list[float]) -> list[float]:
    return [100 * (ratio - 1) for ratio in ratios(this, other)]

"""The settings of a run: their types, ranges and sections; conf/validation.py says what does not go together.

Fields named `args` are passed to a library under its own argument names (EngineArgs, SamplingParams, SFTConfig,
LoraConfig); everything else is ours.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from store.run import RUN_NAME


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    # Settings that runs of earlier versions lack: left out of what is written where they have their defaults, so that
    # the settings and fingerprints of those runs stay what they are.
    added: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_added_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {name: type(self).model_fields[name].default for name in self.added}
        return {name: value for name, value in dump(self).items() if name not in defaults or value != defaults[name]}


class Message(Section):
    role: Literal["system", "user", "assistant"]
    content: str


class SplitPart(Section):
    file: str
    interval: tuple[float, float]  # of the questions' hashes, in [0, 1)


class Hub(Section):
    repo: str
    path: str | None  # None: its only file of questions
    revision: str | None = Field(pattern=r"^[0-9a-f]{40}$")


class Wheel(Section):
    member: str
    format: Literal["jsonl", "tsv"]
    sha256: str


Skill = Literal["compare", "successor", "repeated", "alphabet", "reverse", "position", "addition"]


class Skills(Section):
    kinds: list[Skill] = Field(min_length=1)
    difficulty: int = Field(ge=1, le=5)
    questions: int = Field(ge=1, le=1_000_000)
    seed: int = Field(ge=0, lt=2**31)


class Origins(Section):
    path: str | None
    hub: Hub | None
    wheel: Wheel | None
    generator: Skills | None = None


class Columns(Section):
    id: list[str]
    question: list[str] = Field(min_length=1)
    answers: list[str] = Field(min_length=1)
    more: list[str] = []  # further columns of the questions, for a reward or a prompt
    optional: list[str] = []  # of these, those that a file may lack: null there
    added = ("more", "optional")


class PassRate(Section):
    run: str = Field(pattern=RUN_NAME.pattern)
    low: float = Field(ge=0, le=1)
    high: float = Field(ge=0, le=1)


class Data(Section):
    source: str = Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    train: int | None = Field(ge=1)
    validation: int | None = Field(ge=1)
    test: int | None = Field(ge=1)
    seed: int = Field(ge=0, lt=2**31)
    splits: dict[Literal["train", "validation", "test"], SplitPart] = Field(min_length=3)
    hub: Hub | None = None  # what the preset `hub` fills its file's origin with
    skills: Skills | None = None  # and `skills`
    files: dict[str, Origins]
    columns: Columns
    answer_marker: str | None
    max_bad_fraction: float = Field(ge=0, le=1)
    allow_unpinned: bool
    pass_rate: PassRate | None


class ModelHub(Section):
    repo: str
    revision: str | None


class GgufWheel(Section):
    package: str
    member: str
    sha256: str


class Gguf(Section):
    sha256: str
    eos_tokens: list[str] = Field(min_length=1)
    tied: bool
    disk_gib: float
    wheels: list[GgufWheel] = Field(min_length=1)


class Model(Section):
    name: str
    license: str
    path: str | None
    template_args: dict[str, Any] = {}  # of the chat template
    hub: ModelHub | None
    gguf: Gguf | None


class Engine(Section):
    kind: Literal["vllm", "transformers", "fake"]
    args: dict[str, Any]
    throughput: dict[str, Any]


class Sampling(Section):
    num_initial: int = Field(ge=1, le=1000)
    num_corrections: int = Field(ge=1, le=1000)
    temperature: float = Field(ge=0, le=10)
    top_p: float = Field(gt=0, le=1)
    max_tokens: int = Field(ge=1, le=1_000_000)
    args: dict[str, Any]


class Strategy(Section):
    name: str
    initialization: Literal["evolving", "fixed"]
    filter: Literal[
        "improving", "non_decreasing", "equal_only", "none", "correct",
        "random_matched", "random_matched_non_decreasing", "random_matched_equal_only",
    ]  # fmt: skip
    fine_tuning: Literal["evolving", "fixed"]
    trains_on: Literal["corrections", "initial_answers", "gold_answers", "both"]


# The filters that fit what is trained, strategy.trains_on and strategy.filter.
OF_CORRECTIONS = (
    "improving", "non_decreasing", "equal_only", "none",
    "random_matched", "random_matched_non_decreasing", "random_matched_equal_only",
)  # fmt: skip
FILTERS_BY_TARGET = {
    "corrections": OF_CORRECTIONS,
    "both": OF_CORRECTIONS,
    "initial_answers": ("correct", "none"),
    "gold_answers": ("none",),
}


class Reward(Section):
    name: str  # the chosen reward; `also` are computed beside it
    threshold: float  # t: a reward of at least this is correct
    also: list[str]
    function: str | None = None  # of the reward `python`: FILE.py:FUNCTION
    columns: list[str] = []  # of data.columns.more, that it takes
    timeout: int = Field(600, ge=1)  # seconds it may take for a shard
    weights: dict[str, Annotated[float, Field(gt=0)]] | None = None  # of the parts of the reward `weighted`
    max_unscorable: float = Field(0.01, ge=0, le=1)  # of an iteration's pairs; above it filtering stops
    added = ("function", "columns", "timeout", "weights", "max_unscorable")

    @property
    def computed(self) -> list[str]:
        """Return every reward that is computed, the chosen one first."""
        return list(dict.fromkeys([self.name, *(self.weights or ()), *self.also]))


class ModelJudge(Section):
    kind: Literal["model"]
    model: str | None  # a folder; None: M_0
    prompt: list[Message] = Field(min_length=1)
    template_args: dict[str, Any]
    table: str | None


class EndpointJudge(Section):
    kind: Literal["endpoint"]
    model: str
    prompt: list[Message] = Field(min_length=1)
    args: dict[str, Any]  # of the client's chat.completions.create
    endpoint: str = Field(pattern=r"^https?://[^\s@]+$")
    concurrency: int = Field(ge=1, le=1000)
    timeout: float = Field(gt=0)  # seconds
    retries: int = Field(ge=0, le=100)
    max_total_tokens: int | None = Field(ge=1)
    table: str | None


class Filter(Section):
    margin: float = Field(ge=0)
    drop_duplicates: bool
    max_per_question: int | None = Field(ge=1)
    max_kept_correct_per_improving: float | None = Field(ge=0)
    max_copy_share: float | None = Field(ge=0, le=1)
    pairing: Literal["own", "siblings"] = "own"
    siblings_per_kept_correct: float = Field(1.0, gt=0)
    first_turns_per_correction: float = Field(1.0, gt=0)
    added = ("pairing", "siblings_per_kept_correct", "first_turns_per_correction")


class Compat(Section):
    """What the authors' code does and their paper does not say: all off by default."""

    cross_pairing: bool
    equal_only_filter: bool
    whole_text_score: bool
    separate_training_prompt: bool


class Eval(Section):
    num_samples: int = Field(ge=1, le=1000)
    rounds: int = Field(ge=1, le=99)
    greedy: bool
    initialization: Literal["strategy", "evolving"]


class StopCheck(Section):
    num_prompts: int = Field(ge=0)
    max_tokens: int = Field(ge=1)
    min_rate: float = Field(ge=0, le=1)


class Training(Section):
    rows: Literal["last", "all"] = "last"  # D_{n-1}, or D_0 .. D_{n-1} without repeated ones
    batch_size: int = Field(ge=1)  # rows per optimizer step
    num_epochs: int = Field(ge=1)
    length_grouping: bool
    max_length: int | None = Field(ge=1)
    publish_dtype: Literal["base", "float32"] = "base"
    on_empty: Literal["keep_model", "stop"]
    stop_check: StopCheck
    args: dict[str, Any]
    throughput: dict[str, Any]


class Peft(Section):
    kind: Literal["none", "lora"]
    args: dict[str, Any]


class Launcher(Section):
    kind: Literal["local", "slurm", "ray"]
    cluster: str | None
    args: dict[str, Any]
    workers: int = Field(ge=0, le=4096)
    shard_questions: int = Field(ge=1, le=1_000_000)
    max_restarts: int = Field(ge=0, le=1000)
    hang_seconds: int = Field(ge=1)
    filter_processes: int = Field(0, ge=0, le=4096)  # runs that are older lack it
    pool: str | None = Field(pattern=RUN_NAME.pattern)


class Tracking(Section):
    kind: Literal["none", "tensorboard", "wandb", "mlflow", "trackio"] = "none"
    project: str = Field(default="stasc", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")  # as the tracker groups runs


class Verdict(Section):
    keep: str = Field(pattern=r"^\w+$")  # the word that keeps the initial answer
    replace: str = Field(pattern=r"^\w+$")  # the word before a new answer


class Prompt(Section):
    name: str
    initial: list[Message] = Field(min_length=1)
    correction: list[Message] = Field(min_length=1)
    training: list[Message] = Field(min_length=1)  # for compat.separate_training_prompt alone
    answer_marker: str | None
    verdict: Verdict | None = None  # a correction begins with one of two words
    num_answers: int = Field(1, ge=1, le=99)  # initial answers of its question that a correction reads
    columns: list[str] = []  # of data.columns.more, that stand in it as {column}
    added = ("verdict", "num_answers", "columns")


class Config(Section):
    run: str
    samples_of: str | None  # a run whose samples are rescored; none are made
    models_of: str | None = Field(None, pattern=RUN_NAME.pattern)  # a run whose M_n are evaluated; none is trained
    seed: int = Field(ge=0, lt=2**31)
    device: Literal["cpu", "cuda"]
    data: Data
    model: Model
    engine: Engine
    sampling: Sampling
    prompt: Prompt
    strategy: Strategy
    reward: Reward
    filter: Filter
    eval: Eval
    training: Training
    peft: Peft
    launcher: Launcher
    tracking: Tracking = Tracking()  # runs that are older lack it
    compat: Compat
    judge: Annotated[EndpointJudge | ModelJudge, Field(discriminator="kind")] | None = None  # of the reward `judge`
    added = ("models_of", "judge")

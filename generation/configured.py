"""From a run's configuration to what this stage plans and samples with; the configuration ends here."""

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from conf.schema import Config
from conf.strategy import answers_from, samples_per_question
from generation.engines import VERSIONED
from generation.plan import Plan, make_plan
from generation.prompts import check_prompt
from generation.settings import Settings
from store.run import Run
from store.schemas import SPLITS


def settings_of(config: Config) -> Settings:
    """Return what a worker samples with."""
    return Settings(
        seed=config.seed,
        prompt=config.prompt,
        sampling=config.sampling,
        greedy_eval=config.eval.greedy,
        template_args=config.model.template_args,
        engine=config.engine,
        device=config.device,
    )


def plan_of(run: Run, config: Config, n: int) -> Plan:
    """Return the plan of M_n's generation; ConfigError for a prompt that cannot ask what its stage is about."""
    check_prompt(config.prompt)
    return make_plan(
        run, n, plan_settings(config),
        samples={split: samples_per_question(config, split) for split in SPLITS},
        reused=tuple(split for split in SPLITS if answers_from(config, n, split) != n),
        shard_questions=config.launcher.shard_questions,
    )  # fmt: skip


def plan_settings(config: Config) -> dict[str, Any]:
    """Return everything that decides which samples are drawn; batch sizes, workers and device do not."""
    return {
        "seed": config.seed,
        "template_args": config.model.template_args,
        "prompt": config.prompt.model_dump(),
        "sampling": config.sampling.model_dump(),
        "eval": config.eval.model_dump(),
        "initialization": config.strategy.initialization,
        "engine": {"kind": config.engine.kind, "args": config.engine.args},
        "versions": installed_versions(VERSIONED[config.engine.kind]),
    }


def installed_versions(packages: tuple[str, ...]) -> dict[str, str]:
    """{package: version} of those that are installed, without importing them."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found

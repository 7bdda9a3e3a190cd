"""From a run's configuration to the judge and what is to be judged; the configuration ends here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from conf.judges import identity, placeholders
from conf.schema import Config, Message, ModelJudge
from conf.stored import samples_run
from judging.judge import Judge
from judging.table import files
from store.checkpoints import describe_folder, folder_digest, locate
from store.errors import ConfigError
from store.fingerprint import digest
from store.run import Run


@dataclass(frozen=True)
class Settings:
    """judge: what decides its judgements. by: which model it is, and on which engine, where it runs here. prompt: what
    it is asked. verdict: the words that corrections begin with. open: starts the judge, which may take minutes. roots:
    folders in which judgements may be found. budget: the tokens that the run may spend, None is no bound."""

    judge: dict[str, Any]
    by: dict[str, Any]
    prompt: list[Message]
    verdict: dict[str, str] | None
    open: Callable[[], Judge]
    roots: list[Path]
    budget: int | None

    @property
    def digest(self) -> str:
        """Return the judge's identity."""
        return digest([self.judge, self.by])

    @property
    def shows_golds(self) -> bool:
        """Return whether the judge sees gold answers."""
        return "golds" in placeholders(self.prompt)

    def identity(self) -> dict[str, Any]:
        """Return what decides the table: the judge, and which texts there are."""
        return {"judge": self.judge, "by": self.by, "verdict": self.verdict}


def settings_of(run: Run, config: Config) -> Settings | None:
    """Return what this stage works with, None for a run without a judge; ConfigError for a folder that is not there."""
    judge = config.judge
    if judge is None:
        return None
    by: dict[str, Any] = {}
    if isinstance(judge, ModelJudge):
        folder, sha256, template_args = model_of(run, judge, config.model.template_args)
        by = {"model": sha256, "engine": {"kind": config.engine.kind, "args": config.engine.args}}
        start = partial(_model, config.engine, config.device, folder, template_args)
    else:
        start = partial(_endpoint, judge)
    table = [Path(judge.table)] if judge.table else []
    for path in table:
        if not files(path):
            raise ConfigError(
                f"judge.table={path} is no folder with judgements (paths count from {Path.cwd()}): give a run that has "
                "them, or their folder"
            )
    return Settings(
        judge=identity(judge),
        by=by,
        prompt=judge.prompt,
        verdict=config.prompt.verdict.model_dump() if config.prompt.verdict else None,
        open=start,
        roots=list(dict.fromkeys([run.dir, samples_run(run).dir, *table])),
        budget=None if isinstance(judge, ModelJudge) else judge.max_total_tokens,
    )


def model_of(run: Run, judge: ModelJudge, base_args: dict[str, Any]) -> tuple[Path, str, dict[str, Any]]:
    """Return a judge's model folder, its digest, and the arguments of its chat template: M_0's own where it is M_0."""
    if judge.model is None:
        folder, record = locate(samples_run(run), 0)
        return folder, record.digest, judge.template_args or base_args
    folder = Path(judge.model)
    if not folder.is_dir():
        raise ConfigError(
            f"judge.model={folder} is no folder (paths count from {Path.cwd()}): give a model folder, as those in "
            "data/cache/models, or nothing for M_0"
        )
    return folder, folder_digest(describe_folder(folder)), judge.template_args


def _model(*arguments: Any) -> Judge:
    from judging.model import Model

    return Model(*arguments)


def _endpoint(*arguments: Any) -> Judge:
    from judging.endpoint import Endpoint  # its client takes two seconds to import

    return Endpoint(*arguments)

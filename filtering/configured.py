"""From a run's configuration to the plain values of this stage; the configuration ends here."""

from conf.judges import identity
from conf.schema import Config, Reward, Strategy
from filtering.compat import equal_only_filter, whole_text_score
from filtering.filters import Options
from filtering.rewards import require_known
from filtering.rewards.final_answer import after_marker
from filtering.rewards.own import Function
from filtering.settings import Scoring, Settings
from store.errors import ConfigError


def settings_of(config: Config) -> Settings:
    """Return the plain values of this stage, with the compat switches applied; ConfigError for unknown names."""
    chosen = whole_text_score(config.reward.name) if config.compat.whole_text_score else config.reward.name
    name = filter_of(config.strategy)
    rewards = list(dict.fromkeys([chosen, *config.reward.computed]))
    require_known(rewards)
    marker = config.prompt.answer_marker
    if marker is not None and after_marker(f"{marker} x") != "x":
        raise ConfigError(
            f"prompt.answer_marker={marker!r} is not found as a marker; use 'Final Answer:' or 'Answer:' in another run"
        )
    return Settings(
        seed=config.seed,
        filter=equal_only_filter(name) if config.compat.equal_only_filter else name,
        trains_on=config.strategy.trains_on,
        options=options(config),
        scoring=Scoring(
            rewards,
            chosen,
            config.reward.threshold,
            marker is not None,
            config.prompt.verdict.model_dump() if config.prompt.verdict else None,
            function_of(config.reward),
            config.reward.weights,
            identity(config.judge) if config.judge else None,
        ),
        compat=[name for name, value in config.compat.model_dump().items() if value],
        training_prompt=training_prompt(config),
        num_answers=config.prompt.num_answers if config.prompt.num_answers > 1 else None,
    )


def options(config: Config) -> Options:
    """Return the bounds, and the rows trained beside the kept corrections, as the recipes that are on ask for."""
    filters = config.filter
    return Options(
        config.reward.threshold, filters.margin, filters.drop_duplicates, filters.max_per_question,
        filters.max_kept_correct_per_improving, filters.max_copy_share,
        siblings=filters.siblings_per_kept_correct if filters.pairing == "siblings" else None,
        first_turns=filters.first_turns_per_correction if config.strategy.trains_on == "both" else None,
    )  # fmt: skip


def function_of(reward: Reward) -> Function | None:
    """Return the function of the reward `python`, read from its file; None where there is none."""
    return Function.of(reward.function, reward.columns, reward.timeout) if reward.function else None


def filter_of(strategy: Strategy) -> str:
    """Return the name of FILTERS; all gold answers are trained under a filter of their own."""
    return "gold" if strategy.trains_on == "gold_answers" else strategy.filter


def training_prompt(config: Config) -> list[dict[str, str]] | None:
    """Return prompt.training as plain messages where corrections are trained to it (compat.separate_training_prompt);
    ConfigError where it leaves out the question or the initial answer."""
    if not config.compat.separate_training_prompt or config.strategy.trains_on != "corrections":
        return None
    text = "".join(message.content for message in config.prompt.training)
    missing = [name for name in ("{question}", "{initial_answer}") if name not in text]
    if missing:
        raise ConfigError(f"prompt.training lacks {' and '.join(missing)}: edit the preset, and start another run")
    return [message.model_dump() for message in config.prompt.training]

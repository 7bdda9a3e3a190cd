"""From a run's configuration to the plain values of this stage; the configuration ends here."""

from conf.schema import Config, Strategy
from filtering.compat import equal_only_filter, whole_text_score
from filtering.filters import FILTERS_BY_TARGET, Options
from filtering.rewards import require_known
from filtering.rewards.final_answer import after_marker
from filtering.settings import Scoring, Settings
from store.errors import ConfigError


def settings_of(config: Config) -> Settings:
    """Return the plain values of this stage, with the compat switches applied; ConfigError for unknown names."""
    chosen = whole_text_score(config.reward.name) if config.compat.whole_text_score else config.reward.name
    name = filter_of(config.strategy)
    rewards = list(dict.fromkeys([chosen, config.reward.name, *config.reward.also]))
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
        options=Options(threshold=config.reward.threshold, **config.filter.model_dump()),
        scoring=Scoring(rewards, chosen, config.reward.threshold, expects_marker=marker is not None),
        compat=[name for name, value in config.compat.model_dump().items() if value],
        training_prompt=training_prompt(config),
    )


def filter_of(strategy: Strategy) -> str:
    """Return the name of FILTERS; ConfigError for a filter that says nothing about what is trained."""
    filters = FILTERS_BY_TARGET[strategy.trains_on]
    if strategy.filter not in filters:
        raise ConfigError(
            f"strategy.filter={strategy.filter} does not fit strategy.trains_on={strategy.trains_on}, which takes "
            f"{' or '.join(filters)}: start another run"
        )
    return filters[strategy.filter]


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

"""Which settings of recipes (docs/recipes.md) go together: a run is refused before it starts."""

from conf.schema import Config
from store.errors import ConfigError


def check_recipe(config: Config) -> None:
    """Raise ConfigError for settings of recipes that do not go together."""
    prompt, siblings = config.prompt, config.filter.pairing == "siblings"
    both, strategy = config.strategy.trains_on == "both", config.strategy
    named = {
        f"prompt={prompt.name} (verdict)": prompt.verdict is not None,
        f"prompt.num_answers={prompt.num_answers}": prompt.num_answers > 1,
        "filter.pairing=siblings": siblings,
        "strategy.trains_on=both": both,
    }
    recipes = [name for name, is_on in named.items() if is_on]
    other = ("cross_pairing", "separate_training_prompt")
    if recipes and (compat := [f"compat.{name}" for name in other if getattr(config.compat, name)]):
        raise ConfigError(f"{recipes[0]} does not go with {compat[0]}, which repeats the authors' code: leave one out")
    if config.eval.rounds > 1 and (prompt.verdict or prompt.num_answers > 1):
        raise ConfigError(f"{recipes[0]} corrects an answer once: set eval.rounds=1, not {config.eval.rounds}")
    for key, number in (("sampling.num_initial", config.sampling.num_initial),
                        ("eval.num_samples", config.eval.num_samples)):  # fmt: skip
        if number < prompt.num_answers:
            raise ConfigError(f"prompt.num_answers={prompt.num_answers} are read, {key}={number}: set it to as many")
    if prompt.verdict and prompt.num_answers > 1:
        raise ConfigError(f"{recipes[0]} keeps one answer, and {recipes[1]} shows several: leave one of them out")
    if siblings and (strategy.filter != "non_decreasing" or strategy.trains_on not in ("corrections", "both")):
        raise ConfigError(
            f"filter.pairing=siblings goes with strategy.filter=non_decreasing and trained corrections, as in ENF; "
            f"strategy={strategy.name} has {strategy.filter} and {strategy.trains_on}"
        )

"""Settings: YAML presets that Hydra composes, and the typed schema they are checked against."""

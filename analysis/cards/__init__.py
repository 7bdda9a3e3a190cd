"""Dataset and model cards for everything a run holds."""

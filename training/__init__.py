"""SFT rows and a checkpoint in, the next checkpoint out. The only importer of trl and peft."""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL reports every trainer; read when the hub is imported

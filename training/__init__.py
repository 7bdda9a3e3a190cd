"""SFT rows and a checkpoint in, the next checkpoint out. The only importer of trl and peft."""

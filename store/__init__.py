"""The ground floor: whole files, hashes, shards, schemas, run folders, checkpoints, errors, the machine."""

"""The contracts every stage meets on: schemas, published files, run paths, fingerprints, questions."""

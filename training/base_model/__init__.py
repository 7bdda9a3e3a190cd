"""M_0: a model from the hub, from wheels of a registry, or from a folder."""

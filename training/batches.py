"""Which rows make which batch, decided before training and by the seed alone.

The order is a list of row numbers, cut every `batch_size` rows into the batches of the optimizer steps. It depends
neither on the number of processes nor on where training was resumed, so a step's rows can be named afterwards.
"""

import numpy as np

GROUP_BATCHES = 50  # batches whose rows are sorted together: 1 % of padding is left where random batches have 29 %
PADDING_ROW = -1  # stands for a row without any trained token: evens out the last batch


def batch_order(lengths: np.ndarray, batch_size: int, num_epochs: int, seed: int, grouped: bool) -> np.ndarray:
    """Row numbers for all epochs, int64[num_epochs * ceil(rows / batch_size) * batch_size]; PADDING_ROW evens out.

    Every epoch holds every row once, in another order. grouped: batches hold rows of similar length (whole batches
    are shuffled, so short and long ones still mix over time).
    """
    epochs = [epoch_order(lengths, batch_size, seed, epoch, grouped) for epoch in range(num_epochs)]
    return np.concatenate(epochs)


def epoch_order(lengths: np.ndarray, batch_size: int, seed: int, epoch: int, grouped: bool) -> np.ndarray:
    """One epoch's row numbers. Its last batch is the one that may hold PADDING_ROW."""
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    num_whole = len(order) // batch_size * batch_size
    whole, rest = order[:num_whole], order[num_whole:]
    if grouped:
        window = GROUP_BATCHES * batch_size
        windows = (whole[start : start + window] for start in range(0, num_whole, window))
        by_length = [part[np.argsort(lengths[part], kind="stable")] for part in windows]
        batches = np.concatenate([*by_length, rest[:0]]).reshape(-1, batch_size)
        whole = random.permutation(batches).reshape(-1)
    fill = np.full(-len(rest) % batch_size, PADDING_ROW)
    return np.concatenate([whole, rest, fill])

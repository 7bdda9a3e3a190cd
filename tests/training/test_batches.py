import numpy as np
import pytest

from training.batches import GROUP_BATCHES, PADDING_ROW, batch_order

LENGTHS = np.random.default_rng(0).lognormal(4, 0.6, 1003).astype(int)


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("num_rows", [1, 7, 8, 9, 1003])
def test_every_epoch_holds_every_row_once_and_whole_batches(num_rows, grouped):
    order = batch_order(LENGTHS[:num_rows], batch_size=8, num_epochs=3, seed=1, grouped=grouped)
    per_epoch = -(-num_rows // 8) * 8
    assert len(order) == 3 * per_epoch
    for epoch in order.reshape(3, per_epoch):
        assert sorted(epoch[epoch != PADDING_ROW]) == list(range(num_rows))
        assert (epoch[:-8] != PADDING_ROW).all(), "only the last batch is filled up"


def test_the_order_depends_on_the_seed_and_the_epoch_and_on_nothing_else():
    first = batch_order(LENGTHS, 8, 2, seed=1, grouped=True)
    assert (first == batch_order(LENGTHS, 8, 2, seed=1, grouped=True)).all()
    assert (first != batch_order(LENGTHS, 8, 2, seed=2, grouped=True)).any()
    epochs = first.reshape(2, -1)
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[0] == batch_order(LENGTHS, 8, 1, seed=1, grouped=True)).all()


def padding(order):
    batches = LENGTHS[order[order != PADDING_ROW][: len(order) // 8 * 8 - 8].reshape(-1, 8)]
    return 1 - batches.sum() / (batches.max(axis=1) * 8).sum()


def test_grouping_by_length_leaves_a_fraction_of_the_padding_and_mixes_lengths_over_time():
    grouped = batch_order(LENGTHS, 8, 1, seed=0, grouped=True)
    shuffled = batch_order(LENGTHS, 8, 1, seed=0, grouped=False)
    assert padding(grouped) < 0.08 < 0.35 < padding(shuffled)
    means = LENGTHS[grouped[: GROUP_BATCHES * 8].reshape(-1, 8)].mean(axis=1)
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3

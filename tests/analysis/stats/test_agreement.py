"""Cohen's kappa, beside that of torchmetrics and the example of every textbook."""

import itertools

import pytest
import torch
from torchmetrics.classification import BinaryCohenKappa

from analysis.stats.agreement import Agreement


def test_the_textbooks_example():
    found = Agreement(both=20, first=5, second=10, neither=15)
    assert (found.num_texts, found.share) == (50, 0.7) and found.kappa == pytest.approx(0.4)


@pytest.mark.parametrize("counts", list(itertools.product((0, 1, 7), repeat=4)))
def test_kappa_is_that_of_torchmetrics(counts):
    first = torch.tensor([grade for grade, number in zip((1, 1, 0, 0), counts, strict=True) for _ in range(number)])
    second = torch.tensor([grade for grade, number in zip((1, 0, 1, 0), counts, strict=True) for _ in range(number)])
    found = Agreement(*counts)
    if found.kappa is None:  # nothing, or one grade for all
        assert len(set(first.tolist()) | set(second.tolist())) <= 1
    else:
        assert found.kappa == pytest.approx(BinaryCohenKappa()(first, second).item(), abs=1e-6)

import copy

import pytest
import torch
from torch import nn

from fastsr.training.ema import averaged


def test_the_average_moves_by_what_is_not_kept():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = averaged(network, 0.5)
    expected = None
    for count, value in enumerate([3.0, 5.0, 2.0, 8.0, *range(20)]):
        network.weight.data.fill_(value)
        average.update_parameters(network)
        kept = min(0.5, (1 + count) / (10 + count))
        expected = value if expected is None else kept * expected + (1 - kept) * value
    assert kept == 0.5
    assert average.module.weight.item() == pytest.approx(expected)


def test_statistics_of_norms_are_averaged_and_counts_copied():
    network = nn.BatchNorm1d(2)
    average = averaged(network, 0.9)
    for _ in range(3):
        network(torch.randn(8, 2) + 4)
        average.update_parameters(network)
    assert average.module.num_batches_tracked == 3
    assert (average.module.running_mean < network.running_mean).all()
    assert (average.module.running_mean > 0).all()


def test_an_average_goes_on_from_its_state():
    network = nn.Linear(2, 2)
    one = averaged(network, 0.9)
    for _ in range(4):
        network.weight.data += 1
        one.update_parameters(network)
    other = averaged(nn.Linear(2, 2), 0.9)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    network.weight.data += 1
    for average in (one, other):
        average.update_parameters(network)
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)

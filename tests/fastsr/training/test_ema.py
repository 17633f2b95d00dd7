import copy

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from fastsr.training.ema import Average


def test_the_average_moves_by_what_is_not_kept():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = Average(network, 0.5)
    expected = None
    for count, value in enumerate([3.0, 5.0, 2.0, 8.0, *range(20)]):
        network.weight.data.fill_(value)
        average.update()
        kept = min(0.5, (1 + count) / (10 + count))
        expected = value if expected is None else kept * expected + (1 - kept) * value
    assert kept == 0.5
    assert average.module.weight.item() == pytest.approx(expected)


def test_statistics_of_norms_are_averaged_and_counts_copied():
    network = nn.BatchNorm1d(2)
    average = Average(network, 0.9)
    for _ in range(3):
        network(torch.randn(8, 2) + 4)
        average.update()
    assert average.module.num_batches_tracked == 3
    assert (average.module.running_mean < network.running_mean).all()
    assert (average.module.running_mean > 0).all()


def test_an_average_goes_on_from_its_state():
    network = nn.Linear(2, 2)
    one = Average(network, 0.9)
    for _ in range(4):
        network.weight.data += 1
        one.update()
    other_network = copy.deepcopy(network)
    other = Average(other_network, 0.9)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for average, each in ((one, network), (other, other_network)):
        each.weight.data += 1
        average.update()
    torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


class Seen(TorchDispatchMode):
    """Notes the operators that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def test_an_update_is_a_few_operators_however_many_tensors_there_are():
    network = nn.Sequential(*[nn.BatchNorm1d(2) for _ in range(20)])
    average = Average(network, 0.9)
    average.update()
    with Seen() as seen:
        average.update()
    assert sorted(seen.names) == [
        "aten::_foreach_copy_",
        "aten::_foreach_lerp_.Scalar",
        "aten::_local_scalar_dense",
        "aten::add_.Tensor",
    ]
    assert average.n_averaged.item() == 2

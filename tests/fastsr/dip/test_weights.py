"""The two vectors against the parameters that they hold."""

from copy import deepcopy

import pytest
import torch

from fastsr.dip.network import Hourglass, HourglassConfig
from fastsr.dip.weights import Weights

NETWORK = Hourglass(HourglassConfig(channels=(6, 8), skip_channels=3, input_channels=5))


@pytest.fixture
def network():
    return deepcopy(NETWORK)


def installed(network, weights, dtype):
    weights.install(dtype)
    found = {}
    for name in weights.shapes:
        path, _, attribute = name.rpartition(".")
        found[name] = getattr(network.get_submodule(path), attribute)
    return found


def test_the_vectors_hold_every_parameter_once(network):
    weights = Weights(network, torch.device("cpu"))
    expected = dict(NETWORK.named_parameters())
    got = installed(network, weights, torch.float32)
    assert got.keys() == expected.keys()
    for name, p in expected.items():
        torch.testing.assert_close(got[name], p)
    assert weights.matrices.numel() + weights.vectors.numel() == sum(p.numel() for p in expected.values())
    z = torch.rand(1, 5, 16, 24)
    torch.testing.assert_close(network(z), NETWORK(z))


def test_weights_of_convolutions_are_cast_and_nhwc_the_others_stay(network):
    for p in installed(network, Weights(network, torch.device("cpu")), torch.bfloat16).values():
        assert p.dtype == (torch.bfloat16 if p.ndim == 4 else torch.float32)
        assert p.ndim != 4 or p.is_contiguous(memory_format=torch.channels_last)


def test_gradients_arrive_where_the_parameters_lie(network):
    weights = Weights(network, torch.device("cpu"))
    parameters = installed(network, weights, torch.float32)
    loss = sum((p * (number + 1)).sum() for number, p in enumerate(parameters.values()))
    gradients = weights.views(*torch.autograd.grad(loss, (weights.matrices, weights.vectors)))
    for number, name in enumerate(parameters):
        assert (gradients[name] == number + 1).all()

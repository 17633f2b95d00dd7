"""The two vectors against the parameters that they hold."""

import torch

from fastsr.dip.network import Hourglass, HourglassConfig
from fastsr.dip.weights import Weights

NETWORK = Hourglass(HourglassConfig(channels=(6, 8), skip_channels=3, input_channels=5))
WEIGHTS = Weights.of(NETWORK, torch.device("cpu"))


def test_the_vectors_hold_every_parameter_once():
    got = WEIGHTS.parameters(torch.float32)
    expected = dict(NETWORK.named_parameters())
    assert got.keys() == expected.keys()
    for name, p in expected.items():
        torch.testing.assert_close(got[name], p)
    assert WEIGHTS.matrices.numel() + WEIGHTS.vectors.numel() == sum(p.numel() for p in expected.values())


def test_weights_of_convolutions_are_cast_and_nhwc_the_others_stay():
    for p in WEIGHTS.parameters(torch.bfloat16).values():
        assert p.dtype == (torch.bfloat16 if p.ndim == 4 else torch.float32)
        assert p.ndim != 4 or p.is_contiguous(memory_format=torch.channels_last)


def test_gradients_arrive_where_the_parameters_lie():
    parameters = WEIGHTS.parameters(torch.float32)
    loss = sum((p * (number + 1)).sum() for number, p in enumerate(parameters.values()))
    gradients = WEIGHTS.views(*torch.autograd.grad(loss, (WEIGHTS.matrices, WEIGHTS.vectors)))
    for number, name in enumerate(parameters):
        assert (gradients[name] == number + 1).all()

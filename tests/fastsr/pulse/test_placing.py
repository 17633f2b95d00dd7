import pytest
import torch
from torch import nn

from fastsr.pulse.checkpoint import Checkpoint
from fastsr.pulse.gaussian_fit import fit_gaussian
from fastsr.pulse.placing import fitted, placed

CPU = torch.device("cpu")


def test_a_stylegan_is_placed_in_a_precision(small):
    network = small().network
    there = placed(network, CPU, torch.bfloat16)
    assert there.synthesis.layers[1].conv.weight.dtype == torch.bfloat16
    assert network.synthesis.layers[1].conv.weight.dtype == torch.float32
    assert not any(parameter.requires_grad for parameter in there.parameters())


def test_another_module_is_copied_and_its_own_left_alone():
    network = nn.Linear(2, 2).train()
    there = placed(network, CPU, torch.bfloat16)
    assert there is not network
    assert (there.weight.dtype, there.weight.requires_grad, there.training) == (torch.float32, False, False)
    assert network.weight.requires_grad
    assert network.training


def test_what_is_no_module_is_used_as_it_is(small):
    assert placed(small, CPU, torch.bfloat16) is small


def test_a_fit_is_computed_once_with_a_note(small, recwarn):
    checkpoint = small(fit=False)
    with pytest.warns(RuntimeWarning, match="weights='small' has no Gaussian fit .* from 500 draws"):
        one = fitted(checkpoint, "cpu", draws=500, progress=False)
    expected = fit_gaussian(checkpoint.network.mapping, 8, draws=500)
    torch.testing.assert_close(one.fit.mean, expected.mean)
    torch.testing.assert_close(one.fit.std, expected.std)
    assert fitted(checkpoint, "cpu", draws=500).fit is one.fit
    assert not recwarn.list


def test_one_that_is_there_is_kept(small):
    checkpoint = small()
    assert fitted(checkpoint) is checkpoint
    assert isinstance(checkpoint, Checkpoint)

import pytest
import torch
from torch import nn

from fastsr.checkpoints.formats import Format, configured, fill, load_as, renamed
from fastsr.checkpoints.reading import Contents
from fastsr.errors import InputError


def contents(*keys):
    return Contents({key: torch.zeros(2) for key in keys}, {}, "weights='x.pth'")


def test_the_first_format_that_has_the_keys_is_taken():
    formats = [Format(name, lambda found, key=name: found.has(key), lambda found, name=name: name) for name in "abc"]
    assert load_as(contents("c", "b"), formats) == "b"


def test_an_unknown_network_is_refused_with_its_keys():
    formats = [Format(name, lambda found: False, lambda found: None) for name in ("one", "two")]
    message = (
        "weights='x.pth' is of an unknown network, with the keys k0, k1, k2, k3, k4, k5 and 2 more; known are one, two"
    )
    with pytest.raises(InputError, match=message):
        load_as(contents(*(f"k{index}" for index in range(8))), formats)


def test_blocks_are_counted():
    found = contents("body.0.a.weight", "body.0.b.weight", "body.12.a.weight", "head.1.weight", "a.body.3.x")
    assert found.count(r"body\.(\d+)\.") == 2


def test_modules_are_renamed_and_others_left():
    assert set(renamed(contents("a.b.weight", "a.b.bias", "a.weight"), {"a.b": "x"})) == {
        "x.weight",
        "x.bias",
        "a.weight",
    }


def test_a_shape_that_a_network_refuses_is_an_error():
    def refuse():
        raise ValueError("scale=5 is odd")

    with pytest.raises(InputError, match=r"weights='x.pth' is of a network that is not supported: scale=5 is odd"):
        configured(contents(), refuse)


def test_a_network_is_filled_and_does_not_train():
    network = fill(
        lambda: nn.Conv2d(1, 2, 1), {"weight": torch.ones(2, 1, 1, 1), "bias": torch.ones(2)}, contents(), "mine"
    )
    assert not network.training
    assert torch.equal(network(torch.ones(1, 1, 1, 1)).flatten(), torch.tensor([2.0, 2.0]))
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_all_that_does_not_fit_is_told():
    tensors = {"weight": torch.ones(3, 1, 1, 1), "other": torch.ones(2)}
    message = (
        r"looks like mine, but does not fit: no bias, unknown other, weight of shape \(3, 1, 1, 1\) instead of \(2,"
    )
    with pytest.raises(InputError, match=message):
        fill(lambda: nn.Conv2d(1, 2, 1), tensors, contents(), "mine")

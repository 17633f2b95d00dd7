"""What is known of a network."""

import torch

from fastsr.sr3.schedules import Schedule


def test_it_says_what_it_is(small):
    assert str(small()) == "U-Net for 4 to 16, 8, 16 channels, 2000 steps, x0 (fastsr)"
    assert str(small(size=None, prediction="v")) == "U-Net, 8, 16 channels, 2000 steps, v (fastsr)"


def test_digits_are_others_for_other_weights_or_another_curve(small):
    checkpoint = small()
    assert checkpoint.fingerprint() == small().fingerprint()
    assert small(curve=Schedule("cosine").curve()).fingerprint() != checkpoint.fingerprint()
    with torch.no_grad():
        checkpoint.network.last.bias[0] += 1
    assert checkpoint.fingerprint() != small().fingerprint()

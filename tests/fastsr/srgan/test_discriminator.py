import pytest
import torch

from fastsr.srgan.discriminator import Discriminator


def test_the_paper_has_as_many_parameters():
    with torch.device("meta"):
        discriminator = Discriminator()
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 23_563_649


@pytest.mark.parametrize("crop", [16, 32])
def test_it_judges_crops_of_its_size(crop):
    discriminator = Discriminator(crop)
    assert discriminator(torch.rand(3, 3, crop, crop)).shape == (3, 1)
    with pytest.raises(ValueError, match=f"x is {crop + 16}x{crop} pixels; this discriminator judges {crop} a side"):
        discriminator(torch.rand(3, 3, crop, crop + 16))


@pytest.mark.parametrize("crop", [0, 8, 100])
def test_a_crop_that_cannot_be_halved_four_times_is_refused(crop):
    with pytest.raises(ValueError, match=f"crop={crop} is no multiple of 16"):
        Discriminator(crop)


def test_it_tells_two_pictures_apart_by_a_logit():
    torch.manual_seed(0)
    logits = Discriminator(16)(torch.rand(4, 3, 16, 16))
    assert logits.std() > 0
    assert logits.requires_grad

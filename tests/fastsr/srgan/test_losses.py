import math

import pytest
import torch
from torch.nn import functional as F

import fastsr
from fastsr import images
from fastsr.srgan.discriminator import Discriminator
from fastsr.srgan.losses import (
    SRGAN_MSE,
    SRGAN_VGG,
    SRRESNET,
    GeneratorLoss,
    LossWeights,
    adversarial_loss,
    discriminator_loss,
)
from fastsr.srgan.network import SRResNet, SRResNetConfig
from fastsr.srgan.vgg import VGGFeatures, load_features


@pytest.fixture
def features():
    torch.manual_seed(0)
    return VGGFeatures("vgg22")


def pictures():
    random = torch.Generator().manual_seed(0)
    return torch.rand(2, 2, 3, 16, 16, generator=random).unbind()


def test_the_adversarial_loss_is_that_of_a_probability():
    logits = torch.tensor([[0.0], [math.log(3)]])  # D of 1/2 and 3/4
    assert adversarial_loss(logits).item() == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    real = torch.tensor([[math.log(3)]])
    assert discriminator_loss(real, logits).item() == pytest.approx(math.log(4 / 3) + (math.log(2) + math.log(4)) / 2)


def test_the_adversarial_loss_does_not_saturate():
    logits = torch.tensor([-1000.0], requires_grad=True)
    adversarial_loss(logits).backward()
    assert logits.grad.item() == -1
    assert adversarial_loss(torch.tensor([-1000.0], dtype=torch.float16)) == 1000


def test_the_discriminator_learns_from_both_kinds():
    real, fake = torch.zeros(3, 1, requires_grad=True), torch.zeros(3, 1, requires_grad=True)
    discriminator_loss(real, fake).backward()
    torch.testing.assert_close(real.grad, torch.full((3, 1), -1 / 6))
    torch.testing.assert_close(fake.grad, torch.full((3, 1), 1 / 6))


@pytest.mark.parametrize("term", ["pixel", "content", "adversarial"])
def test_every_term_alone_sends_gradient_to_the_generator(term, features):
    torch.manual_seed(0)
    generator, discriminator = SRResNet(SRResNetConfig(blocks=1, width=8, scale=2)), Discriminator(16)
    sr = generator(torch.rand(2, 3, 8, 8))
    terms = GeneratorLoss(LossWeights(**{term: 1.0}), features)(sr, torch.rand(2, 3, 16, 16), discriminator(sr))
    assert list(terms) == [term]
    terms[term].backward()
    gradients = {name: parameter.grad for name, parameter in generator.named_parameters()}
    assert all(bool(gradient.isfinite().all()) for gradient in gradients.values())
    weights = [gradient for name, gradient in gradients.items() if name.endswith("weight")]
    assert len(weights) == 12
    assert all(gradient.abs().max() > 0 for gradient in weights)
    assert all(parameter.grad is None for parameter in features.parameters())


def test_the_terms_are_what_they_are_called(features):
    sr, hr = pictures()
    logits = torch.tensor([[-1.0], [2.0]])
    terms = GeneratorLoss(LossWeights(pixel=0.5, content=3, adversarial=0.1), features)(sr, hr, logits)
    signed = F.mse_loss(2 * sr - 1, 2 * hr - 1)
    torch.testing.assert_close(terms["pixel"], 0.5 * signed)
    torch.testing.assert_close(terms["content"], 3 * F.mse_loss(features(sr), features(hr)))
    torch.testing.assert_close(terms["adversarial"], 0.1 * adversarial_loss(logits))
    assert list(terms) == ["pixel", "content", "adversarial"]


def test_the_variants_of_the_paper_have_their_terms(features):
    sr, hr = pictures()
    logits = torch.zeros(2, 1)
    assert list(GeneratorLoss(SRRESNET)(sr, hr)) == ["pixel"]
    mse = GeneratorLoss(SRGAN_MSE)(sr, hr, logits)
    assert list(mse) == ["pixel", "adversarial"]
    assert mse["pixel"].item() == pytest.approx(4 * F.mse_loss(sr, hr).item())
    assert mse["adversarial"].item() == pytest.approx(1e-3 * math.log(2))
    vgg = GeneratorLoss(SRGAN_VGG, features)(sr, hr, logits)
    assert list(vgg) == ["content", "adversarial"]
    assert vgg["content"].item() == pytest.approx(F.mse_loss(features(sr), features(hr)).item())


def test_no_gradient_goes_to_the_pictures_of_the_data(features):
    sr, hr = (picture.requires_grad_() for picture in pictures())
    terms = GeneratorLoss(LossWeights(pixel=1, content=1), features)(sr, hr)
    sum(terms.values()).backward()
    assert sr.grad is not None
    assert hr.grad is None


def test_autocast_leaves_the_losses_in_float32(features):
    sr, hr = pictures()
    loss = GeneratorLoss(LossWeights(pixel=1, content=1, adversarial=1), features)
    logits = torch.tensor([[-1.25], [2.5]])
    expected = loss(sr, hr, logits)
    with torch.autocast("cpu", torch.bfloat16):
        assert features(sr).dtype == torch.bfloat16
        terms = loss(sr, hr, logits.bfloat16())
    assert {term.dtype for term in terms.values()} == {torch.float32}
    assert torch.equal(terms["pixel"], expected["pixel"])
    assert torch.equal(terms["adversarial"], expected["adversarial"])
    torch.testing.assert_close(terms["content"], expected["content"], rtol=0.02, atol=0)


def test_a_generator_in_half_precision_is_judged_in_float32():
    sr, hr = pictures()
    half = sr.half()
    assert torch.equal(GeneratorLoss(SRRESNET)(half, hr)["pixel"], GeneratorLoss(SRRESNET)(half.float(), hr)["pixel"])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "every weight is 0"),
        ({"pixel": -1.0}, r"pixel=-1\.0 is no weight of a loss; give 0 or more"),
        ({"content": math.nan}, "content=nan is no weight"),
        ({"pixel": 1.0, "adversarial": math.inf}, "adversarial=inf is no weight"),
    ],
)
def test_weights_that_make_no_loss_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        LossWeights(**weights)


def test_what_a_term_needs_must_be_there():
    sr, hr = pictures()
    with pytest.raises(ValueError, match=r"content=1\.0 needs features; see fastsr\.srgan\.vgg\.load_features"):
        GeneratorLoss(SRGAN_VGG)
    with pytest.raises(ValueError, match=r"adversarial=0\.001 needs fake_logits"):
        GeneratorLoss(SRGAN_MSE)(sr, hr)
    with pytest.raises(ValueError, match=r"sr of shape \(2, 3, 16, 16\) and hr of shape \(2, 3, 16, 8\) differ"):
        GeneratorLoss(SRRESNET)(sr, hr[..., :8])


def test_real_features_make_a_content_loss_comparable_to_the_pixel_loss(data):
    features = load_features("vgg22", data / "weights" / "vgg19-normalised-conv3_1.pth")
    lr, hr = (images.read(data / "Set5" / "image_SRF_4" / f"img_003_SRF_4_{kind}.png").pixels for kind in ("LR", "HR"))
    with torch.no_grad():
        terms = GeneratorLoss(LossWeights(pixel=1, content=1), features)(fastsr.resize(lr, 4), hr)
    assert 0.5 < terms["content"] / terms["pixel"] < 2

from dataclasses import replace

import pytest
import torch

from fastsr.errors import InputError
from fastsr.images import load as load_picture
from fastsr.images import read
from fastsr.images import save as save_picture
from fastsr.pulse.formats import load
from fastsr.pulse.network import StyleGAN
from fastsr.pulse.train_parts import Mixing, drawn
from fastsr.pulse.train_settings import TrainSettings
from fastsr.pulse.training import StyleGANTraining, train
from fastsr.training.start import start

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def settings(pictures):
    """Those of a small training."""
    return TrainSettings(
        data=(str(pictures),),
        batch=4,
        resolution=8,
        latent=8,
        mapping_layers=2,
        fmap_base=32,
        fmap_max=8,
        rate=3e-2,
        gamma=1.0,
        penalty_every=2,
        augment_images=200,
        steps=4,
        ema=0.9,
        device="cpu",
        workers=0,
        log_every=1,
        save_every=3,
    )


@pytest.fixture
def begun():
    """A function that returns the training of some settings."""
    return lambda settings: StyleGANTraining(settings, start(settings, "nowhere"))


def steps(training, count, first=0, parts=1):
    """Make some steps of 4 pictures as the loop does, and return the losses of each."""
    batches, found = training.batches(4 * first), []
    for step in range(first, first + count):
        torch.manual_seed(step)
        training.prepare(step)
        for optimizer in training.optimizers().values():
            optimizer.param_groups[0]["lr"] = training.rate(step)
        losses = training.step([next(batches) for _ in range(parts)])
        found.append({name: loss.item() for name, loss in losses.items()})
    return found


def weights(module):
    """Return a copy of the weights."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, after):
    return [name for name in before if not torch.equal(before[name], after[name])]


def test_both_losses_move_and_all_weights_learn(settings, begun):
    training = begun(settings)
    before = {name: weights(training.modules()[name]) for name in ("generator", "discriminator")}
    found = steps(training, 20)
    assert list(found[0]) == ["generator", "discriminator", "r1", "p", "r_t"]
    for name in ("generator", "discriminator"):
        losses = [each[name] for each in found]
        assert len(set(losses)) == len(losses)
        still = before[name].keys() - moved(before[name], weights(training.modules()[name]))
        assert all(".noise" in weight and weight.split(".")[-1].startswith("noise") for weight in still)
        assert len(still) == (4 if name == "generator" else 0)  # the noise for when pictures share it
    assert sum(each["discriminator"] for each in found[-5:]) < sum(each["discriminator"] for each in found[:5])


def test_the_penalty_is_lazy_and_counts(settings, begun):
    found = steps(begun(settings), 4)
    assert found[0]["r1"] == found[1]["r1"] != found[2]["r1"] == found[3]["r1"]
    after = [begun(replace(settings, gamma=gamma)) for gamma in (0.0, 1e4)]
    lengths = [steps(training, 9)[-1]["r1"] for training in after]
    assert lengths[1] < lengths[0] / 5
    assert settings.penalty_weight(8) == 1
    assert TrainSettings().penalty_weight(256) == pytest.approx(0.4096)


def test_pictures_are_changed_more_while_the_discriminator_is_sure(settings, begun):
    for bias, expected in ((100.0, 0.08), (-100.0, 0.0)):
        training = begun(replace(settings, rate=1e-9))
        torch.nn.init.constant_(training.modules()["discriminator"].judgement.bias, bias)
        found = steps(training, 4)
        assert [each["p"] for each in found] == pytest.approx([0, 0, 0, expected])
        assert found[3]["r_t"] == (1 if bias > 0 else -1)
    training = begun(replace(settings, augment_target=0.0))
    torch.nn.init.constant_(training.modules()["discriminator"].judgement.bias, 100.0)
    assert steps(training, 4)[3]["p"] == 0


def test_the_average_is_what_is_shown_validated_and_written(settings, pictures, begun, tmp_path):
    training = begun(replace(settings, val=str(pictures)))
    steps(training, 3)
    generator, average = training.modules()["generator"].network, training.modules()["average"].module.network
    assert moved(weights(generator), weights(average))
    training.export(tmp_path / "weights.safetensors")
    sheet, scores = training.samples(), training.validate()
    torch.nn.init.zeros_(generator.synthesis.const)
    assert training.samples().tobytes() == sheet.tobytes()
    assert training.validate() == scores
    assert list(scores) == ["neg_swd"]
    assert scores["neg_swd"] < 0
    torch.nn.init.zeros_(average.synthesis.const)
    assert training.samples().tobytes() != sheet.tobytes()
    assert training.validate() != scores
    checkpoint = load(tmp_path / "weights.safetensors")
    torch.nn.init.ones_(average.synthesis.const)
    assert moved(weights(average), weights(checkpoint.network)) == ["synthesis.const"]
    rows = checkpoint.network.mapping(torch.randn(20_000, 8))
    roots = torch.nn.functional.leaky_relu(rows, 5.0)
    torch.testing.assert_close(checkpoint.fit.mean, roots.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(checkpoint.fit.std, roots.std(0), rtol=0.05, atol=0)
    first = (next(drawn(checkpoint.network, 64, 1))[0].clamp(-1, 1) + 1) / 2
    torch.testing.assert_close(read(sheet).pixels[0, :, :8, :8], first, rtol=0, atol=1 / 255)


def test_a_run_that_goes_on_is_the_run_that_was_not_interrupted(settings, tmp_path, runs):
    settings = replace(settings, steps=11, augment_target=0.01)
    train(settings, tmp_path / "whole", progress=False)
    train(replace(settings, steps=7), tmp_path / "parts", progress=False)
    train(settings, tmp_path / "parts", progress=False)
    runs.assert_same(tmp_path / "whole", tmp_path / "parts")
    files = [tmp_path / name / "checkpoints" / "stylegan.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert all(tensor != 0 for tensor in runs.state(tmp_path / "whole")["modules"]["augmentation"].values())


def test_styles_are_mixed_from_one_layer_on(settings):
    torch.manual_seed(0)
    network = StyleGAN(settings.architecture(8))
    seen = []
    network.synthesis.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    z = torch.randn(2, 64, 8)
    for part in (0.0, 0.5, 1.0):
        Mixing(network, part)(z)
    first, second = (network.mapping(each) for each in z)
    for part, rows in zip((0.0, 0.5, 1.0), seen, strict=True):
        of_first, of_second = ((rows == each[:, None]).all(2) for each in (first, second))
        assert (of_first ^ of_second).all()
        assert of_first[:, 0].all()
        assert not (of_second[:, :-1] & of_first[:, 1:]).any()
        assert of_second[:, -1].float().mean().item() == pytest.approx(part, abs=0.2 if part == 0.5 else 0)
        assert part == 0 or set(of_first.sum(1).tolist()) >= {1, 2, 3}


@pytest.mark.parametrize("options", [{"precision": "bfloat16"}, {"accumulate": 2}, {"ema": 0.0, "mixing": 0.0}])
def test_variants_train_and_show_samples(options, settings, tmp_path):
    assert train(replace(settings, steps=2, **options), tmp_path / "run", progress=False).finished
    checkpoint = load(tmp_path / "run" / "checkpoints" / "stylegan.safetensors")
    assert checkpoint.network.synthesis.const.dtype == torch.float32
    assert load_picture(tmp_path / "run" / "samples" / "step_00000002.png").shape == (3, 64, 64)


def test_pictures_are_middle_squares_of_the_resolution(settings, begun, tmp_path):
    rows = torch.linspace(0, 1, 40)[None, None, :].expand(3, 16, 40)  # dark at the left
    (tmp_path / "one").mkdir()
    save_picture(rows, tmp_path / "one" / "0.png")
    found = next(begun(replace(settings, data=(str(tmp_path / "one"),))).batches(0))["hr"].float() / 255
    assert found.shape == (4, 3, 8, 8)
    expected = rows[0, 0, 12:28].unflatten(0, (8, 2)).mean(1).expand(3, 8, 8)
    for picture in found:
        upright = picture.flip(2) if picture[0, 0, 0] > 0.5 else picture
        torch.testing.assert_close(upright, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("parts", [("hr_16", "lr_8"), ("HR", "LR")])
def test_pictures_are_taken_at_their_side_and_lr_is_left_alone(parts, settings, begun, tmp_path):
    for part, side in zip(parts, (16, 8), strict=True):
        (tmp_path / "pairs" / part).mkdir(parents=True)
        save_picture(torch.rand(3, side, side), tmp_path / "pairs" / part / "0.png")
    training = begun(replace(settings, data=(str(tmp_path / "pairs"),), resolution=None))
    assert next(training.batches(0))["hr"].shape == (4, 3, 16, 16)
    assert training.facts()["resolution"] == "16"


def test_squares_of_several_sides_are_refused(settings, begun, tmp_path):
    for side in (16, 32):
        (tmp_path / "squares" / f"hr_{side}").mkdir(parents=True)
    with pytest.raises(InputError, match="holds hr_16, hr_32, of which several are of HR"):
        begun(replace(settings, data=(str(tmp_path / "squares"),)))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resolution": None}, "resolution is not given, and the pictures have sides from 40 to 43 pixels"),
        ({"resolution": 64}, "50x40 pixels, and resolution=64 needs larger ones"),
        ({"resolution": 48}, "resolution=48 is not 8, 16, 32"),
        ({"fmap_base": 2}, "sides without channels"),
        ({"precision": "float16"}, "precision='float16' is unknown; use one of float32, bfloat16"),
        ({"mixing": 1.5}, "mixing=1.5 cannot be used"),
        ({"gamma": float("nan")}, "gamma=nan cannot be used"),
        ({"rate": 0.0}, "rate=0.0 cannot be used"),
        ({"penalty_every": 0}, "penalty_every=0 cannot be used; give at least 1"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_work(changed, message, settings, tmp_path):
    with pytest.raises(InputError, match=message):
        train(replace(settings, **changed), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()

from dataclasses import replace
from itertools import islice

import pytest
import torch

from fastsr.consistency import project
from fastsr.data.crops import make_lr
from fastsr.errors import InputError
from fastsr.images import save as save_picture
from fastsr.metrics import psnr
from fastsr.resize import resize
from fastsr.sr3 import sr3
from fastsr.sr3.formats import load, save
from fastsr.sr3.network import UNet
from fastsr.sr3.schedules import Schedule
from fastsr.sr3.train_parts import Lessons
from fastsr.sr3.train_settings import TrainSettings
from fastsr.sr3.training import SR3Training, train
from fastsr.training.start import start
from fastsr_kernels.noise import diffuse

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def settings(pictures):
    """Those of a small training, of the network of `small`."""
    return TrainSettings(
        data=(str(pictures),),
        batch=4,
        factor=4,
        crop=16,
        width=8,
        multipliers=(1, 2),
        blocks=1,
        attention=(8,),
        groups=4,
        dropout=0.0,
        steps=4,
        warm_up=0,
        rate=1e-2,
        ema=0.9,
        val_steps=2,
        device="cpu",
        workers=0,
        log_every=1,
        save_every=3,
    )


@pytest.fixture
def begun():
    """A function that returns the training of some settings."""
    return lambda settings: SR3Training(settings, start(settings, "nowhere"))


def steps(training, count, first=0, parts=1, batch=4):
    """Make some steps as the loop does, and return the losses of each."""
    batches, found = training.batches(batch * first), []
    for step in range(first, first + count):
        training.prepare(step)
        for optimizer in training.optimizers().values():
            optimizer.param_groups[0]["lr"] = training.rate(step)
        found.append(training.step([next(batches) for _ in range(parts)]))
    return found


def weights(module):
    """Return a copy of the weights."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def moved(before, after):
    return any(not torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_the_loss_is_that_of_the_paper(prediction, loss, settings, begun, small):
    settings = replace(settings, prediction=prediction, loss=loss, seed=3)
    training = begun(settings)
    network = training.modules()["network"]
    network.load_state_dict(small(groups=4).network.state_dict())
    batches = training.batches(4)
    hr = next(batches)["hr"]
    levels = Lessons(settings, torch.device("cpu")).levels(1)
    gammas = levels.square()[:, None, None, None]
    numbers = torch.arange(4, 8)  # of the samples in the second step
    nothing = torch.zeros(4)
    noise = diffuse(torch.zeros(4, 3, 16, 16), nothing, nothing + 1, numbers, settings.seed)
    x0 = 2 * hr.double() / 255 - 1
    noisy = gammas.sqrt() * x0 + (1 - gammas).sqrt() * noise
    wanted = {"epsilon": noise, "v": gammas.sqrt() * noise - (1 - gammas).sqrt() * x0, "x0": x0}[prediction]
    condition = 2 * resize(make_lr(hr, 4), size=(16, 16)) - 1
    error = network(condition, noisy.float(), levels.float()).detach() - wanted
    expected = (error.abs() if loss == "l1" else error.square()).mean().item()
    (found,) = steps(training, 1, first=1)
    assert list(found) == [loss]
    assert found[loss].item() == pytest.approx(expected, rel=1e-5)


def test_noise_levels_are_uniform_between_two_times_that_are_as_likely_as_others(settings):
    settings = replace(settings, batch=20_000, schedule="linear", schedule_steps=10, schedule_end=0.9)
    levels = Lessons(settings, torch.device("cpu")).levels(0)
    roots = settings.curve.sqrt()
    times = torch.searchsorted(-roots, -levels).clamp(min=1)
    counts = torch.bincount(times, minlength=11)
    assert counts[0] == 0
    assert (counts[1:] / len(levels) - 0.1).abs().max() < 0.01
    for time in range(1, 11):
        places = (levels[times == time] - roots[time]) / (roots[time - 1] - roots[time])
        assert 0 <= places.min() <= places.max() <= 1
        assert places.mean().item() == pytest.approx(0.5, abs=0.03)


def test_every_step_and_sample_has_noise_of_its_own(settings):
    lessons = Lessons(settings, torch.device("cpu"))
    assert not torch.equal(lessons.levels(0), lessons.levels(1))
    grey, levels = torch.zeros(2, 3, 16, 16), torch.full((2,), 0.5, dtype=torch.float64)
    noisy, noise = lessons.lesson(grey, levels, torch.tensor([3, 4]))
    again, _ = lessons.lesson(grey, levels, torch.tensor([4, 5]))
    assert torch.equal(noisy[1], again[0])
    assert not torch.equal(noisy[0], noisy[1])
    torch.testing.assert_close(noisy, 0.75**0.5 * noise)
    other, _ = Lessons(replace(settings, seed=1), torch.device("cpu")).lesson(grey, levels, torch.tensor([3, 4]))
    assert not torch.equal(noisy, other)


def test_parts_of_a_step_learn_what_the_whole_does(settings, begun):
    found = []
    for parts in (1, 2, 4):
        training = begun(replace(settings, accumulate=parts))
        losses = [loss["l1"].item() for loss in steps(training, 3, parts=parts)]
        found.append((losses, weights(training.modules()["network"])))
    for losses, learnt in found[1:]:
        assert losses == pytest.approx(found[0][0], rel=1e-4)
        torch.testing.assert_close(learnt, found[0][1], rtol=1e-3, atol=1e-4)


def test_pictures_are_mirrored_and_not_turned(settings, begun, tmp_path):
    rows = torch.arange(16.0)[None, :, None].expand(3, 16, 16) / 16  # dark above
    (tmp_path / "one").mkdir()
    save_picture(rows * torch.linspace(0.5, 1, 16), tmp_path / "one" / "0.png")
    batches = begun(replace(settings, data=(str(tmp_path / "one"),))).batches(0)
    crops = torch.cat([batch["hr"] for batch in islice(batches, 8)]).double()
    assert (crops[:, :, 0] < crops[:, :, -1]).all()
    brighter = (crops[..., 0] < crops[..., -1])[:, 0, -1]
    assert 0 < brighter.sum() < len(crops)


def test_the_rate_grows_and_stays(settings, begun):
    training = begun(replace(settings, warm_up=4, rate=1e-4))
    assert [training.rate(step) for step in (0, 1, 3, 4, 100)] == pytest.approx([0.25e-4, 0.5e-4, 1e-4, 1e-4, 1e-4])
    assert begun(replace(settings, warm_up=0)).rate(0) == settings.rate


def test_the_average_is_what_is_written_and_validated(settings, save_noise, begun, tmp_path):
    save_noise(tmp_path / "val" / "0.png", 20, 20)
    training = begun(replace(settings, val=str(tmp_path / "val")))
    steps(training, 3)
    training.export(tmp_path / "weights.safetensors")
    network, average = training.modules()["network"], training.modules()["average"].module
    assert moved(weights(network), weights(average))
    checkpoint = load(tmp_path / "weights.safetensors")
    assert not moved(weights(average), weights(checkpoint.network))
    assert (checkpoint.factor, checkpoint.size, checkpoint.prediction) == (4, 16, "epsilon")
    assert torch.equal(checkpoint.curve, settings.curve)
    scores = training.validate()
    assert list(scores) == ["psnr", "ssim", "consistency"]
    network.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in weights(network).items()})
    assert training.validate() == scores
    lr = torch.rand(1, 3, 5, 4)
    options = {"steps": 2, "seed": 0, "consistency": False, "device": "cpu", "dtype": "float32", "progress": False}
    used = sr3(lr, weights=tmp_path / "weights.safetensors", **options)
    assert torch.equal(training.upscale()(lr), used)


def test_without_an_average_the_network_itself_is_written(settings, begun, tmp_path):
    training = begun(replace(settings, ema=0.0))
    steps(training, 2)
    training.export(tmp_path / "weights.safetensors")
    assert list(training.modules()) == ["network"]
    assert not moved(weights(training.modules()["network"]), weights(load(tmp_path / "weights.safetensors").network))


def test_a_run_that_goes_on_is_the_run_that_was_not_interrupted(settings, tmp_path, runs):
    settings = replace(settings, dropout=0.2, steps=6)
    train(settings, tmp_path / "whole", progress=False)
    train(replace(settings, steps=4), tmp_path / "parts", progress=False)
    train(settings, tmp_path / "parts", progress=False)
    runs.assert_same(tmp_path / "whole", tmp_path / "parts")
    files = [tmp_path / name / "checkpoints" / "sr3.safetensors" for name in ("whole", "parts")]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize(
    "options", [{"precision": "bfloat16"}, {"schedule": "cosine"}, {"factor": 2, "dropout": 0.2}, {"attention": (0,)}]
)
def test_variants_train_and_show_samples(options, settings, tmp_path):
    train(replace(settings, steps=1, **options), tmp_path / "run", progress=False)
    checkpoint = load(tmp_path / "run" / "checkpoints" / "sr3.safetensors")
    assert checkpoint.network.first.weight.dtype == torch.float32
    assert (tmp_path / "run" / "samples" / "step_00000001.png").exists()


def test_training_begins_with_given_weights(settings, small, begun, tmp_path):
    given = small("epsilon", groups=4)
    save(given, tmp_path / "init.safetensors")
    training = begun(replace(settings, init=str(tmp_path / "init.safetensors")))
    network = training.modules()["network"]
    assert not moved(weights(given.network), weights(network))
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert network.training


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prediction": "v"}, "prediction v instead of epsilon"),
        ({"factor": 2}, "factor 2 instead of 4"),
        ({"size": 32}, "crop 32 instead of 16"),
        ({"blocks": 2}, r"network UNetConfig\(.*blocks=2.*\) instead of UNetConfig\(.*blocks=1"),
        (
            {"curve": Schedule("cosine", 1000).curve()},
            "noise curve of 1000 steps, .* instead of 2000 steps, .* and 4.386e-05",
        ),
        ({"curve": Schedule().curve() ** 1.001}, "noise curve of 2000 steps, .* and 4.342e-05 at last instead of"),
    ],
)
def test_weights_of_another_training_are_refused(changed, message, settings, small, begun, tmp_path):
    save(small(**{"prediction": "epsilon", **changed}), tmp_path / "init.safetensors")
    with pytest.raises(InputError, match=f"init='.*' is U-Net .* was trained with other settings: {message}"):
        begun(replace(settings, init=str(tmp_path / "init.safetensors")))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schedule_steps": 100}, "schedule_steps=100 cannot be used"),
        ({"crop": 18}, "crop=18 cannot be used"),
        ({"batch": 5, "accumulate": 2}, "batch=5 cannot be shared"),
    ],
)
def test_what_cannot_be_used_is_refused_before_pictures_are_read(changed, message, settings, pictures, tmp_path):
    (pictures / "broken.png").write_text("no picture")
    with pytest.raises(InputError, match=message):
        train(replace(settings, **changed), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def mosaic(number):
    """A picture of 4x4 squares, each black or white, uint8 (3, 16, 16)."""
    squares = torch.randint(0, 2, (1, 4, 4), generator=torch.Generator().manual_seed(number)).expand(3, 4, 4)
    return (255 * squares).byte().repeat_interleave(4, 1).repeat_interleave(4, 2)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A file of weights that were trained to enlarge such pictures."""
    folder = tmp_path_factory.mktemp("mosaics")
    (folder / "pictures").mkdir()
    for number in range(512):
        save_picture(mosaic(number), folder / "pictures" / f"{number}.png")
    settings = TrainSettings(
        data=(str(folder / "pictures"),),
        batch=8,
        factor=2,
        crop=16,
        width=16,
        multipliers=(1, 2),
        blocks=1,
        attention=(0,),
        groups=8,
        dropout=0.0,
        prediction="x0",
        loss="l2",
        steps=220,
        warm_up=20,
        rate=4e-3,
        ema=0.97,
        val_steps=2,
        device="cpu",
        workers=0,
    )
    train(settings, folder / "run", progress=False)
    return folder / "run" / "checkpoints" / "sr3.safetensors"


@pytest.mark.parametrize("seed", [0, 1])
def test_samples_of_pictures_never_seen_are_nearer_to_the_truth_than_bicubic(seed, trained):
    hr = torch.stack([mosaic(number) for number in range(1000, 1012)]).float() / 255
    lr = make_lr((255 * hr).byte(), 2)

    def score(made):
        # Beside one another, for a picture alone may be hit exactly.
        return psnr(torch.cat(list(made), -1), torch.cat(list(hr), -1), channel="rgb")

    options = {"steps": 10, "consistency": False, "device": "cpu", "dtype": "float32", "progress": False}
    blank = replace(load(trained), network=UNet(load(trained).network.config).eval())  # it has learnt nothing yet
    before, after = (score(sr3(lr, weights=weights, seed=seed, **options)) for weights in (blank, trained))
    assert before < score(resize(lr, 2))
    # The best that agrees with the input, without knowing such pictures, is bicubic made to agree.
    assert after > score(project(resize(lr, 2), lr)) + 1

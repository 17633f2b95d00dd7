import json
import shutil
from copy import deepcopy
from dataclasses import replace
from itertools import islice

import pytest
import torch

import fastsr
from fastsr.errors import InputError, MissingFileError, TrainingError
from fastsr.images import load as load_picture
from fastsr.images import save as save_picture
from fastsr.srgan import losses, train_parts
from fastsr.srgan.formats import load, save
from fastsr.srgan.train_settings import TrainSettings
from fastsr.srgan.training import SRGANTraining, train
from fastsr.srgan.vgg import VGGFeatures
from fastsr.training.settings import changes
from fastsr.training.start import start

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


@pytest.fixture
def pictures(tmp_path, save_noise):
    """A folder of a few training pictures."""
    for index in range(4):
        save_noise(tmp_path / "pictures" / f"{index}.png", 40 + index, 50)
    return tmp_path / "pictures"


@pytest.fixture
def settings(pictures):
    """Those of a small training; without a discriminator for 32x32, which is most of the work."""
    return TrainSettings(
        data=(str(pictures),),
        batch=4,
        crop=16,
        blocks=1,
        width=8,
        mse_steps=4,
        gan_steps=2,
        content="mse",
        rate=1e-3,
        device="cpu",
        workers=0,
        log_every=1,
    )


@pytest.fixture
def begun():
    """A function that returns the training of some settings."""
    return lambda settings: SRGANTraining(settings, start(settings, "nowhere"))


def lines(folder):
    return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]


def steps(training, count, first=0, parts=1):
    """Make some steps of 4 crops as the loop does, and return the losses of each."""
    batches, found = training.batches(4 * first), []
    for step in range(first, first + count):
        training.prepare(step)
        for optimizer in training.optimizers().values():
            optimizer.param_groups[0]["lr"] = training.rate(step)
        found.append(training.step([next(batches) for _ in range(parts)]))
    return found


def weights(module):
    """Weights and statistics; checkpoints leave out how many batches these are of."""
    return {name: t.clone() for name, t in module.state_dict().items() if not name.endswith("num_batches_tracked")}


def moved(before, after):
    return any(not torch.equal(before[name], after[name]) for name in before)


def test_squared_errors_go_down(settings, tmp_path):
    train(replace(settings, mse_steps=40, gan_steps=0, rate=1e-2), tmp_path / "run", progress=False)
    pixel = [line["pixel"] for line in lines(tmp_path / "run")]
    assert len(pixel) == 40
    assert sum(pixel[-5:]) < sum(pixel[:5]) / 3


def test_the_second_stage_begins_with_what_the_first_one_wrote(settings, begun, tmp_path):
    training = begun(settings)
    steps(training, 4)
    training.export(tmp_path / "first.safetensors")
    generator, average = training.modules()["generator"], training.modules()["average"].module
    assert moved(weights(average), weights(generator))
    training.prepare(4)
    written = load(tmp_path / "first.safetensors").network
    for network in (generator, average):
        assert not moved(weights(written), weights(network))
    assert not training.optimizers()["generator"].state
    before = {name: weights(module) for name, module in training.modules().items()}
    (terms,) = steps(training, 1, first=4)
    assert list(terms) == ["pixel", "adversarial", "discriminator"]
    for name, module in training.modules().items():
        assert moved(before[name], weights(module)), name


def test_stages_and_rates_are_those_of_the_paper(settings, begun):
    training = begun(replace(settings, mse_steps=10, gan_steps=4, rate=1e-4))
    assert training.steps == 14
    assert [training.stage(step) for step in (0, 9, 10, 13)] == ["srresnet", "srresnet", "srgan", "srgan"]
    assert [training.rate(step) for step in (0, 10, 11, 12, 13)] == [1e-4, 1e-4, 1e-4, 1e-5, 1e-5]


def test_the_rate_of_the_first_stage_falls_in_its_cooldown(settings, begun):
    training = begun(replace(settings, mse_steps=10, gan_steps=2, cooldown=4, rate=1e-4))
    rates = [training.rate(step) for step in range(5, 12)]
    assert rates == pytest.approx([1e-4, 1e-4, 0.75e-4, 0.5e-4, 0.25e-4, 1e-4, 1e-5])


def test_the_rate_rises_in_the_warm_up(settings, begun):
    training = begun(replace(settings, warm_up=3))
    assert [training.rate(step) for step in range(4)] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3, 1e-3])


def test_muon_with_l1_and_no_norms_learns_in_both_stages(settings, tmp_path):
    muon = replace(settings, mse_steps=30, gan_steps=1, optimizer="muon", pixel_loss="l1", norm="none", ema=0.0)
    train(muon, tmp_path / "run", progress=False)
    losses = [line["l1"] for line in lines(tmp_path / "run") if "l1" in line]
    assert losses[29] < 0.5 * losses[0]
    loaded = load(tmp_path / "run" / "checkpoints" / "srgan.safetensors")
    assert loaded.network.config.norm == "none"
    assert not any("norm" in key for key in loaded.network.state_dict())


def test_the_end_of_the_first_stage_can_change_until_its_cooldown(settings, tmp_path):
    first = replace(settings, mse_steps=4, gan_steps=0, cooldown=2)
    train(first, tmp_path / "run", progress=False)
    with pytest.raises(InputError, match="cooldown"):
        train(replace(first, mse_steps=6, cooldown=1), tmp_path / "run", progress=False)
    early = changes(first, replace(first, mse_steps=9, cooldown=3), 2)
    assert (early, changes(first, replace(first, mse_steps=9, cooldown=3), 3)) == ([], ["mse_steps", "cooldown"])


def test_defaults_are_those_of_the_paper():
    default = TrainSettings()
    assert (default.blocks, default.width, default.factor, default.crop, default.batch) == (16, 64, 4, 96, 16)
    assert (default.mse_steps, default.gan_steps, default.rate, default.beta1) == (10**6, 2 * 10**5, 1e-4, 0.9)
    assert (default.content, default.adversarial) == ("vgg54", 1e-3)


def test_the_discriminator_learns_from_its_own_loss_alone(settings, begun):
    after = []
    for weight in (1e-3, 1e3):
        training = begun(replace(settings, mse_steps=0, adversarial=weight))
        steps(training, 1)
        after.append({name: weights(module) for name, module in training.modules().items()})
    assert not moved(after[0]["discriminator"], after[1]["discriminator"])
    assert moved(after[0]["generator"], after[1]["generator"])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_every_term_reaches_the_generator(accumulate, settings, begun, monkeypatch):
    def random_features(layer, path):
        torch.manual_seed(1)
        return VGGFeatures(layer, scale=1e3)

    monkeypatch.setattr(train_parts, "load_features", random_features)
    after = []
    for content, adversarial in (("mse", 0.0), ("vgg12", 0.0), ("vgg12", 1e-3)):
        training = begun(
            replace(settings, mse_steps=0, content=content, adversarial=adversarial, accumulate=accumulate)
        )
        (terms,) = steps(training, 1, parts=accumulate)
        after.append(weights(training.modules()["generator"]))
        assert ("content" in terms, "adversarial" in terms) == (content != "mse", bool(adversarial))
    assert moved(after[0], after[1])
    assert moved(after[1], after[2])


def test_losses_of_parts_are_means(settings, begun):
    training = begun(replace(settings, accumulate=2))
    (terms,) = steps(training, 1, parts=2)
    alone = [begun(settings).step([part])["pixel"].item() for part in islice(training.batches(0), 2)]
    assert terms["pixel"].item() == pytest.approx(sum(alone) / 2, rel=1e-5)


def test_results_are_used_by_srgan(settings, tmp_path):
    train(replace(settings, sample_every=3), tmp_path / "run", progress=False)
    picture = torch.rand(3, 8, 9)
    for name in ("srresnet", "srgan"):
        path = tmp_path / "run" / "checkpoints" / f"{name}.safetensors"
        assert fastsr.srgan(picture, weights=path, device="cpu", dtype="float32", progress=False).shape == (3, 32, 36)
    assert load_picture(tmp_path / "run" / "samples" / "step_00000003.png").shape[0] == 3


def test_without_an_average_the_generator_itself_is_written(settings, begun, tmp_path):
    training = begun(replace(settings, ema=0.0))
    steps(training, 2)
    training.export(tmp_path / "weights.safetensors")
    assert list(training.modules()) == ["generator"]
    network = load(tmp_path / "weights.safetensors").network
    assert not moved(weights(network), weights(training.modules()["generator"]))


def test_a_benchmark_is_validated_on(settings, pictures, begun):
    training = begun(replace(settings, val=str(pictures)))
    scores = training.validate()
    assert list(scores) == ["psnr", "ssim", "consistency"]
    steps(training, 4)
    assert training.validate() != scores
    assert begun(settings).validate() == {}


def test_training_goes_on_from_given_weights(settings, small, begun, tmp_path):
    save(replace(small(blocks=1, width=8), output_range="unit"), tmp_path / "init.safetensors")
    training = begun(replace(settings, init=str(tmp_path / "init.safetensors"), mse_steps=0))
    wanted = weights(load(tmp_path / "init.safetensors").network)
    assert not moved(wanted, weights(training.modules()["generator"]))
    assert all(parameter.requires_grad for parameter in training.modules()["generator"].parameters())
    steps(training, 1)
    assert moved(wanted, weights(training.modules()["generator"]))


@pytest.mark.parametrize(("scale", "doublings"), [(2, ["1->0"]), (8, ["0->1", "1->2"])])
def test_training_goes_on_from_weights_of_another_factor(scale, doublings, settings, small, begun, tmp_path):
    save(replace(small(blocks=1, width=8), output_range="unit"), tmp_path / "init.safetensors")
    given = weights(load(tmp_path / "init.safetensors").network)
    crop = {"crop": 4 * scale, "factor": scale, "val": None, "gan_steps": 0}
    training = begun(replace(settings, init=str(tmp_path / "init.safetensors"), **crop))
    found = weights(training.modules()["generator"])
    taken = dict(doubling.split("->") for doubling in doublings)
    for key, value in given.items():
        if not key.startswith("upsampling"):
            assert torch.equal(found[key], value), key
        elif key.split(".")[1] in taken:
            number = key.split(".")[1]
            assert torch.equal(found[key.replace(number, taken[number], 1)], value), key
    fresh = begun(replace(settings, **crop))
    untouched = {key for key, value in weights(fresh.modules()["generator"]).items() if torch.equal(found[key], value)}
    assert ("upsampling.0.conv.weight" in untouched) == (scale == 8)


@pytest.mark.parametrize(("blocks", "output_range"), [(2, "unit"), (1, "signed")])
def test_weights_of_another_generator_are_refused(blocks, output_range, settings, small, begun, tmp_path):
    save(replace(small(blocks=blocks, width=8), output_range=output_range), tmp_path / "init.safetensors")
    with pytest.raises(InputError, match=r"init='.*' is SRResNet x4, . blocks of 8 channels"):
        begun(replace(settings, init=str(tmp_path / "init.safetensors")))
    with pytest.raises(MissingFileError, match="init='nowhere' is not there"):
        begun(replace(settings, init="nowhere"))


def test_lr_files_are_taken_where_there_are_any(settings, pictures, begun, tmp_path):
    for kind in ("HR", "LR"):
        (tmp_path / "pairs" / kind).mkdir(parents=True)
    for path in pictures.iterdir():
        hr = (load_picture(path) * 255).round().byte()[:, :40, :48]
        save_picture(hr, tmp_path / "pairs" / "HR" / path.name)
        save_picture(torch.zeros(3, 10, 12), tmp_path / "pairs" / "LR" / path.name)
    training = begun(replace(settings, data=(str(tmp_path / "pairs"),)))
    made = deepcopy(training.modules()["generator"])(torch.zeros(4, 3, 4, 4))
    hr = next(training.batches(0))["hr"].float() / 255
    (terms,) = steps(training, 1)
    assert terms["pixel"].item() == pytest.approx(4 * (made - hr).square().mean().item(), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"padding": "reflect", "crop": 32}, {"precision": "bfloat16"}, {"factor": 2}, {"accumulate": 2}]
)
def test_variants_train_in_both_stages(options, settings, tmp_path):
    outcome = train(replace(settings, mse_steps=1, gan_steps=1, **options), tmp_path / "run", progress=False)
    assert outcome.finished
    network = load(tmp_path / "run" / "checkpoints" / "srgan.safetensors").network
    assert network.first.weight.dtype == torch.float32


def test_a_loss_that_is_not_a_number_stops_the_training(settings, tmp_path, monkeypatch):
    calls = []

    def broken(logits):
        calls.append(None)
        return logits.sum() * (float("nan") if len(calls) == 2 else 1.0)

    monkeypatch.setattr(losses, "adversarial_loss", broken)
    with pytest.raises(
        TrainingError, match="'adversarial' is not finite in step 6; the last good checkpoint is of step 4"
    ):
        train(settings, tmp_path / "run", progress=False)
    assert torch.load(tmp_path / "run" / "checkpoints" / "last.pt", weights_only=True)["step"] == 4
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == [
        "last.pt",
        "srresnet.safetensors",
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"factor": 3}, "factor=3 is unknown; use one of 2, 4, 8"),
        ({"padding": "circular"}, "padding='circular' is unknown"),
        ({"content": "vgg99"}, "content='vgg99' is unknown; use one of mse, vgg11"),
        ({"blocks": 0}, "blocks=0 cannot be used; give at least 1"),
        ({"mse_steps": -1}, "mse_steps=-1 cannot be used"),
        ({"mse_steps": 0, "gan_steps": 0}, "leave nothing to train"),
        ({"mse_steps": 3, "cooldown": 4}, "cooldown=4 cannot be used; mse_steps=3 is the most"),
        ({"rate": 0.0}, "rate=0.0 cannot be used"),
        ({"rate": float("inf")}, "rate=inf cannot be used"),
        ({"rate": float("nan")}, "rate=nan cannot be used"),
        ({"adversarial": float("inf")}, "adversarial=inf cannot be used; give a number of at least 0, such as 1e-3"),
        ({"pixel": float("inf")}, "pixel=inf cannot be used; give a number of at least 0, such as 0.1"),
        ({"pixel": 0.5}, "pixel=0.5 cannot be used with content='mse', which is that loss; give 0"),
        ({"adversarial": float("nan")}, "adversarial=nan cannot be used"),
        ({"beta1": 1.0}, "beta1=1.0 cannot be used"),
        ({"crop": 24}, "crop=24 cannot be used; the discriminator needs a multiple of 16"),
        ({"crop": 18, "gan_steps": 0}, "crop=18 cannot be used; factor=4 needs a multiple of 4"),
        ({"padding": "reflect"}, "crop=16 cannot be used; padding='reflect' needs at least 20"),
        ({"batch": 5, "accumulate": 2}, "batch=5 cannot be shared by 1 processes"),
        ({"batch": 1}, "crop=16 cannot be used with batch=1, of which a process works on one crop .* give crop=32"),
        ({"accumulate": 4}, "crop=16 cannot be used with batch=4, of which a process works on one crop at a time"),
        ({"crop": 4, "batch": 1, "gan_steps": 0}, "crop=4 cannot be used with batch=1"),
        ({"data": ("",)}, "data='' names no folder; the current one is '.'"),
        ({"val": ""}, "val='' names no folder"),
        ({"crop": 48}, "is 50x40 pixels, smaller than the crop of 48x48"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_work(changed, message, settings, tmp_path):
    with pytest.raises(InputError, match=message):
        train(replace(settings, **changed), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_pictures_that_are_not_there_or_not_readable(settings, pictures, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no image"):
        train(replace(settings, data=(str(tmp_path / "empty"),)), tmp_path / "run", progress=False)
    with pytest.raises(MissingFileError, match="nowhere"):
        train(replace(settings, data=("nowhere",)), tmp_path / "run", progress=False)
    with pytest.raises(MissingFileError, match="nowhere"):
        train(replace(settings, content="vgg22", vgg_weights="nowhere.pth"), tmp_path / "run", progress=False)
    with pytest.raises(MissingFileError, match="nowhere"):
        train(replace(settings, val="nowhere"), tmp_path / "run", progress=False)
    (pictures / "broken.png").write_text("no picture")
    with pytest.raises(InputError, match=r"broken\.png"):
        train(settings, tmp_path / "run", progress=False)


def test_another_set_of_pictures_is_refused(settings, pictures, save_noise, tmp_path):
    train(replace(settings, mse_steps=2, gan_steps=0), tmp_path / "run", progress=False)
    save_noise(pictures / "more.png", 40, 40)
    with pytest.raises(InputError, match=r"set of training pictures was 4 with .* and it is 5 with"):
        train(replace(settings, mse_steps=3, gan_steps=0), tmp_path / "run", progress=False)


def pair(folder):
    """A folder of HR and one of LR pictures, and nothing else."""
    for kind, side in (("HR", 32), ("LR", 8)):
        (folder / kind).mkdir(parents=True)
        for index in range(2):
            save_picture(torch.zeros(3, side, side), folder / kind / f"{index}.png")
    return folder


def test_lr_files_that_come_are_refused(settings, tmp_path):
    (pair(tmp_path / "pair") / "LR").rename(tmp_path / "LR")
    settings = replace(settings, data=(str(tmp_path / "pair"),), mse_steps=1, gan_steps=0)
    train(settings, tmp_path / "run", progress=False)
    (tmp_path / "LR").rename(tmp_path / "pair" / "LR")
    with pytest.raises(InputError, match=r"pictures was 2 with names of .* and it is 2 with LR files and names of"):
        train(replace(settings, mse_steps=2), tmp_path / "run", progress=False)


def test_features_are_weighted_and_laid_out_as_the_pictures_are(settings, monkeypatch):
    monkeypatch.setattr(train_parts, "load_features", lambda layer, path: VGGFeatures(layer))
    loss = train_parts.stage_losses(replace(settings, content="vgg12", pixel=0.5), torch.device("cpu"))["srgan"]
    assert loss.weights == losses.LossWeights(pixel=0.5, content=1.0, adversarial=1e-3)
    weights = [p for p in loss.features.parameters() if p.ndim == 4 and p.shape[2] == 3]
    assert weights
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


def test_a_process_can_train_in_one_precision_after_the_other(settings, tmp_path):
    settings = replace(settings, mse_steps=1, gan_steps=0)
    for precision in ("float32", "bfloat16"):
        assert train(replace(settings, precision=precision), tmp_path / precision, progress=False).finished


def test_a_project_can_be_moved(settings, pictures, begun, tmp_path, monkeypatch):
    facts = []
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        shutil.copytree(pictures, tmp_path / folder / "data")
        monkeypatch.chdir(tmp_path / folder)
        facts.append(begun(replace(settings, data=("data",))).facts())
    assert facts[0] == facts[1]
    (tmp_path / "there" / "data" / "0.png").rename(tmp_path / "there" / "data" / "z.png")
    assert begun(replace(settings, data=("data",))).facts() != facts[0]

"""Files of weights as they come with fastsr, and how many pictures they warn of."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

import fastsr
from benchmarks import bundle as bundling
from benchmarks import domains
from fastsr.domain import LEAST
from fastsr.errors import InputError
from fastsr.pulse import formats as pulse
from fastsr.pulse.checkpoint import Checkpoint as Faces
from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.pulse.network import Architecture, StyleGAN
from fastsr.sr3 import formats as sr3
from fastsr.sr3.checkpoint import Checkpoint as Diffusion
from fastsr.sr3.network import UNet, UNetConfig
from fastsr.sr3.schedules import Schedule
from fastsr.srgan import formats as srgan
from fastsr.srgan.checkpoint import Checkpoint as Generator
from fastsr.srgan.network import SRResNet, SRResNetConfig

PICTURES = [torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(number)) for number in range(LEAST)]


@pytest.fixture
def weights(tmp_path):
    """Files of a small network of each method."""
    torch.manual_seed(0)
    stylegan = StyleGAN(Architecture(16, 8, 2, feature_maps=(6, 5, 4))).eval().requires_grad_(False)
    fit = GaussianFit(torch.rand(8), torch.rand(8) + 0.1)
    pulse.save(Faces(stylegan, fit, "fastsr", "small"), tmp_path / "pulse.safetensors")
    network = UNet(UNetConfig(8, (1, 2), 1, (1,), 4, 0.0)).eval().requires_grad_(False)
    network.last.weight.normal_(std=0.05)  # zero, it would make all results alike
    sr3.save(Diffusion(network, Schedule().curve(), "v", 4, 16, "fastsr", "small"), tmp_path / "sr3.safetensors")
    network = SRResNet(SRResNetConfig(scale=2, blocks=1, width=8)).eval().requires_grad_(False)
    srgan.save(Generator(network, "fastsr", "unit", "unit", "small"), tmp_path / "srgan.safetensors")
    return tmp_path


@pytest.mark.parametrize("name", ["srgan", "sr3", "pulse"])
def test_what_has_several_dimensions_is_in_half_precision_and_the_results_hardly_change(name, weights, tmp_path):
    given = weights / f"{name}.safetensors"
    known = [] if name == "srgan" else PICTURES
    path = bundling.bundle("small", str(given), known, tmp_path / "out")
    assert path == tmp_path / "out" / "small.safetensors"
    before, after = load_file(given), load_file(path)
    added = [key for key in after if key not in before]
    assert [key for key in added if not key.startswith("domain.")] == []
    assert (len(added) > 0) == (name != "srgan")
    for key, value in before.items():
        if value.ndim > 1:
            assert after[key].dtype == torch.float16
            torch.testing.assert_close(after[key].float(), value, rtol=2**-11, atol=1e-7)
        else:
            assert torch.equal(after[key], value)
    assert all(after[key].dtype == torch.float32 for key in added)
    kind = bundling.kind_of(str(given))
    most, mean = bundling.difference(kind, str(given), path, PICTURES[:1])
    assert 0 < mean <= most
    assert mean < 1


def test_without_pictures_enlarged_results_are_not_compared(weights):
    given = str(weights / "srgan.safetensors")
    assert bundling.difference(bundling.kind_of(given), given, weights / "srgan.safetensors", []) is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0, 7e4]], r"weight has values of sizes from 1 to 7e\+04, which float16 does not hold"),
        ([[1e-7, 3e-7]], r"from 1e-07 to 3e-07, which float16 does not hold"),
        ([[1e-7, 1.0]], None),
        ([[0.0, 0.0]], None),
    ],
)
def test_what_float16_does_not_hold_is_refused(values, message):
    tensor = torch.tensor(values)
    if message is None:
        assert torch.allclose(bundling.in_float16(tensor, "weight").float(), tensor, rtol=1e-3, atol=1e-7)
        return
    with pytest.raises(InputError, match=message):
        bundling.in_float16(tensor, "weight")


def test_files_that_cannot_be_bundled_are_refused(weights, tmp_path):
    with pytest.raises(InputError, match="--domain is for weights of SR3 and of a StyleGAN"):
        bundling.bundle("small", str(weights / "srgan.safetensors"), PICTURES, tmp_path)
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="was not written by `fastsr train`"):
        bundling.bundle("small", str(tmp_path / "other.safetensors"), [], tmp_path)
    assert not (tmp_path / "small.safetensors").exists()


def test_the_command_prints_what_a_card_says(weights, tmp_path, monkeypatch, capsys):
    for number, picture in enumerate(PICTURES):
        (tmp_path / "faces").mkdir(exist_ok=True)
        fastsr.save(picture, tmp_path / "faces" / f"{number:03}.png")
    given = ["small", weights / "sr3.safetensors", "--domain", tmp_path / "faces", "--pictures", tmp_path / "faces"]
    monkeypatch.setattr("sys.argv", ["bundle", *map(str, given), "--out", str(tmp_path / "out")])
    bundling.main()
    made = tmp_path / "out" / "small.safetensors"
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"{made}: U-Net for 4 to 16, 8, 16 channels, 2000 steps, v (fastsr), 0.15 MiB, ")
    assert out[1] == f"sha256 {bundling.digest_of(made, 'sha256')}"
    assert out[2].startswith("results differ by ")
    monkeypatch.setattr("sys.argv", ["bundle", "small", str(tmp_path / "faces" / "000.png")])
    with pytest.raises(SystemExit, match="Error: weights="):
        bundling.main()


def test_faces_are_changed_as_the_table_says():
    picture = torch.arange(16.0 * 16).reshape(1, 16, 16).expand(3, -1, -1) / 256
    assert torch.equal(domains.moved(picture, 0, 1 / 8)[:, :, 2:], picture[:, :, :-2])
    assert torch.equal(domains.moved(picture, 1 / 8, 0)[:, 2:], picture[:, :-2])
    assert torch.equal(domains.inner(picture, 0.5), picture[:, 4:12, 4:12])
    assert torch.equal(domains.wider(picture, 0.25)[:, 4:20, 4:20], picture)
    assert domains.wider(picture, 0.25).shape == (3, 24, 24)
    torch.testing.assert_close(domains.grey(picture), picture[:1])


def test_pictures_that_are_warned_of_are_counted(weights, tmp_path):
    path = bundling.bundle("small", str(weights / "pulse.safetensors"), PICTURES, tmp_path)
    domain = replace(pulse.load(path).domain, limit=torch.tensor([float("inf")] * 2))
    large = [torch.rand(3, 70, 90) for _ in range(3)]
    rows = domains.measure(domain, PICTURES[:2], {"others": large})
    assert [row["what"] for row in rows[-2:]] == ["others, middle squares", "others, random squares"]
    assert [row["pictures"] for row in rows[-2:]] == [3, 6]
    assert all(row["warned"] == 0 for row in rows)
    rows = domains.measure(replace(domain, limit=torch.tensor([1e-9, 1e-9])), PICTURES[:2], {})
    assert domains.table(rows).splitlines()[2] == "| faces, not trained on | 2 of 2 |"

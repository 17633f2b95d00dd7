import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.errors import InputError
from fastsr.niqe.features import measure
from fastsr.niqe.fit import fit

PICTURES = 10


@pytest.fixture
def good(tmp_path, photograph):
    """Pictures of 6 blocks, of which the last ones are less sharp."""
    paths = []
    for seed in range(PICTURES):
        picture = photograph(192, 288, seed)
        picture[:, 192:] = picture[:, 192:] // 4 + 90
        paths.append(tmp_path / f"{seed}.png")
        Image.fromarray(picture[..., 0]).save(paths[-1])
    return paths


def test_a_model_is_mean_and_covariance_of_the_sharp_blocks(good):
    chosen = []
    for path in good:
        blocks = measure(torch.from_numpy(np.asarray(Image.open(path)).astype(float)))
        least = 0.75 * max(blocks.sharpness)
        chosen += [row for row, sharp in zip(blocks.features, blocks.sharpness, strict=True) if sharp > least]
    features = torch.stack(chosen).numpy()
    assert len(features) == 4 * PICTURES
    model = fit(good, name="mine", source="some pictures", progress=False)
    assert model.mean.numpy() == pytest.approx(features.mean(0))
    assert model.covariance.numpy() == pytest.approx(np.cov(features.T), abs=1e-12)
    assert str(model) == "mine, fitted on 40 blocks of 10 pictures of 'some pictures'"


def test_too_few_or_too_small_pictures_are_refused(good, tmp_path):
    with pytest.raises(InputError, match=r"9 pictures of 'x' have 36 sharp blocks .* at least 37"):
        fit(good[1:], name="mine", source="x", progress=False)
    Image.new("RGB", (95, 300)).save(tmp_path / "small.png")
    with pytest.raises(InputError, match=r"small\.png' is 95x300 pixels; .* at least 96x96"):
        fit([tmp_path / "small.png"], name="mine", source="x", progress=False)

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.errors import DeviceError, InputError, InputTypeError
from fastsr.metrics import niqe
from fastsr.niqe.model import load
from fastsr.niqe.score import column

# What code gives that does as MATLAB does, on Y as most code for super-resolution has it.
SET14_Y = {
    "baboon": 5.7296,
    "barbara": 4.5838,
    "bridge": 2.5122,
    "coastguard": 5.3512,
    "comic": 4.1388,
    "face": 8.4930,
    "flowers": 2.8857,
    "foreman": 5.9359,
    "lenna": 5.1971,
    "man": 3.6622,
    "monarch": 3.4988,
    "pepper": 7.0635,
    "ppt3": 5.4477,
    "zebra": 3.2759,
}


@pytest.mark.parametrize(("name", "matlab", "within"), [("image1", 5.0290, 0.0005), ("image2", 17.866, 0.002)])
def test_matlab_of_the_authors(name, matlab, within, data):
    picture = data / "niqe" / f"{name}.bmp"
    assert niqe(picture) == pytest.approx(matlab, abs=within)
    assert niqe(picture, dtype="float32") == pytest.approx(niqe(picture), abs=0.001)


def test_set14_on_y(data):
    pictures = sorted((data / "Set14" / "image_SRF_4").glob("*_HR.png"))
    assert niqe(pictures, channel="y") == pytest.approx(list(SET14_Y.values()), abs=0.01)


def test_float32_where_areas_are_flat(data):
    slide = data / "Set14" / "image_SRF_4" / "img_013_SRF_4_HR.png"
    for channel in ("grey", "y"):
        assert niqe(slide, channel=channel, dtype=torch.float32) == pytest.approx(
            niqe(slide, channel=channel), abs=0.01
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_gives_the_same(photograph, model, dtype):
    picture = photograph(200, 200)
    picture[:100, :90] = 77
    expected = niqe(picture, model=model)
    assert niqe(picture, model=model, device="cuda", dtype=dtype) == pytest.approx(expected, abs=0.01)
    on_gpu = torch.from_numpy(picture).permute(2, 0, 1).cuda()
    assert niqe(on_gpu, model=model) == pytest.approx(expected, abs=1e-6)


def test_every_kind_gives_the_same_number(photograph, model, tmp_path):
    picture = photograph(100, 200)
    expected = niqe(picture, model=model)
    Image.fromarray(picture).save(tmp_path / "a.png")
    tensor = torch.from_numpy(picture).permute(2, 0, 1)
    between = picture / 255 + np.random.default_rng(0).uniform(-0.0019, 0.0019, picture.shape)
    opaque = np.dstack([picture, picture[..., 0]])
    kinds = (tmp_path / "a.png", Image.fromarray(picture), tensor, tensor.half() / 255, opaque)
    for kind in (*kinds, picture.astype(np.uint16) * 257, between.clip(0, 1)):  # a file of 8 bits has these colours
        assert niqe(kind, model=model) == expected
    assert niqe(tensor / 255, model=model, channel="y") != expected


def test_grey_is_rounded_and_is_itself(photograph, model):
    picture = photograph(100, 200)
    grey = np.floor(picture @ [0.298936021293775, 0.587043074451121, 0.114020904255103] + 0.5).astype(np.uint8)
    luma = np.floor(picture @ [65.481, 128.553, 24.966] / 255 + 16.5).astype(np.uint8)
    assert niqe(picture, model=model) == niqe(grey, model=model) == niqe(grey, model=model, channel="y")
    assert niqe(picture, model=model, channel="y") == niqe(luma, model=model)


def test_lists_batches_and_shave(photograph, model):
    pictures = np.stack([photograph(200, 210, seed) for seed in range(2)])
    singles = [niqe(picture, model=model) for picture in pictures]
    assert isinstance(singles[0], float)
    assert niqe(pictures, model=model) == niqe(list(pictures), model=model) == singles
    assert isinstance(niqe(pictures[:1], model=model), list)
    assert niqe(pictures[0], model=model, shave=4) == niqe(pictures[0, 4:-4, 4:-4], model=model)
    assert niqe(pictures[0, :196, :196], model=model, shave=2) == niqe(pictures[0, 2:194, 2:194], model=model)


def test_better_pictures_have_lower_values(data):
    picture = fastsr.load(data / "niqe" / "image1.bmp")
    blurred = fastsr.resize(fastsr.resize(picture, 0.25), 4)
    noisy = (picture + 0.1 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert niqe(picture) + 1 < min(niqe([blurred, noisy]))


@pytest.mark.parametrize(
    ("size", "options", "error", "message"),
    [
        ((128, 128), {}, InputError, "at least 2 blocks of 96x96 pixels after shave; there are 128x128"),
        ((128, 128), {"model": "nowhere.mat"}, InputError, "at least 2 blocks"),
        ((96, 192), {"shave": 1}, InputError, "there are 190x94"),
        ((50, 50), {"shave": 25}, InputError, "shave=25 leaves nothing of 50x50"),
        ((96, 192), {"shave": -1}, InputError, "shave=-1 is negative"),
        ((96, 192), {"channel": "rgb"}, InputError, "channel='rgb' is unknown; use one of grey, y"),
        ((96, 192), {"dtype": "bfloat16"}, InputError, "dtype='bfloat16' is not supported; use 'float32' or 'float64'"),
        ((96, 192), {"dtype": torch.int64}, InputError, r"dtype=torch\.int64 is not supported"),
        ((96, 192), {"device": "tpu"}, DeviceError, "device='tpu'"),
        ((96, 192), {"model": 3}, InputTypeError, "model is a int"),
    ],
)
def test_what_has_no_value_is_refused(size, options, error, message, photograph, model):
    with pytest.raises(error, match=message):
        niqe(photograph(*size), **{"model": model, **options})


def test_flat_pictures_have_no_value(model, photograph):
    flat = np.full((192, 192, 3), 9, np.uint8)
    with pytest.raises(InputError, match="2 blocks of 96x96 pixels that are not flat; of 4 there are 0"):
        niqe(flat, model=model)
    flat[:192, :96] = photograph(192, 96)
    assert niqe(flat, model=model) > 0


def test_a_result_says_by_what_it_is(model, data):
    assert [column(load(), channel) for channel in ("grey", "y")] == ["NIQE", "NIQE Y"]
    assert [column(model, channel) for channel in ("grey", "y")] == [
        "NIQE (made.safetensors)",
        "NIQE Y (made.safetensors)",
    ]

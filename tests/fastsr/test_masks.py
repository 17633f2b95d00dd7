"""Masks of every kind, and those that are none."""

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.errors import InputError, InputTypeError
from fastsr.masks import reaches, read_known

HOLE = np.zeros((6, 9), bool)
HOLE[1:3, 4:8] = True
WHITE = HOLE.astype(np.uint8) * 255
KNOWN = torch.from_numpy(~HOLE).float()[None, None]


@pytest.mark.parametrize(
    "mask",
    [
        HOLE,
        WHITE,
        WHITE.astype(np.float32) / 255,
        WHITE[..., None].repeat(3, 2),
        WHITE.astype(np.uint16) * 257,
        Image.fromarray(WHITE),
        Image.fromarray(WHITE).convert("1"),
        torch.from_numpy(HOLE),
        torch.from_numpy(HOLE).float()[None],
        torch.from_numpy(HOLE).float()[None, None],
        np.dstack([WHITE, WHITE, WHITE, WHITE * 0 + 255]),
    ],
    ids=[
        "bool",
        "uint8",
        "float",
        "rgb",
        "uint16",
        "PIL L",
        "PIL 1",
        "torch bool 2-d",
        "torch 3-d",
        "torch 4-d",
        "opaque",
    ],
)
def test_white_of_any_kind_is_not_known(mask):
    known = read_known(mask, (6, 9))
    assert known.dtype == torch.float32
    assert torch.equal(known, KNOWN)


def test_a_batch_may_have_a_mask_for_each_picture():
    both = torch.stack([torch.from_numpy(HOLE), torch.from_numpy(~HOLE)])[:, None].float()
    assert torch.equal(read_known(both, (6, 9), count=2), torch.cat([KNOWN, 1 - KNOWN]))
    with pytest.raises(InputError, match="mask is a batch of 2 and img has 3 pictures; give one mask, or 3"):
        read_known(both, (6, 9), count=3)
    with pytest.raises(InputError, match="mask is black everywhere"):
        read_known(both * torch.tensor([1.0, 0.0]).view(2, 1, 1, 1), (6, 9), count=2)


def test_a_file_is_a_mask(tmp_path):
    Image.fromarray(WHITE).save(tmp_path / "mask.png")
    assert torch.equal(read_known(tmp_path / "mask.png", (6, 9)), KNOWN)


def test_soft_edges_are_filled_in_and_the_noise_of_black_is_not():
    values = np.array([[0, 20, 30, 255]], np.uint8)
    assert read_known(values, (1, 4)).flatten().tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (WHITE[:, :-1], InputError, r"mask is 8x6 pixels and img is 9x6; a mask has the size of its picture"),
        (WHITE * 0, InputError, r"mask is black everywhere, .*white marks"),
        (WHITE * 0 + 255, InputError, r"mask is white everywhere, .*black marks"),
        (np.dstack([WHITE, WHITE * 0, WHITE]), InputError, r"mask has colours; a mask is grey"),
        (np.dstack([WHITE, WHITE]), InputError, r"mask has transparency; a mask is grey"),
        (torch.zeros(2, 1, 6, 9), InputError, r"mask is a batch of 2 and img has 1 pictures; give one mask, or 1"),
        (7, InputTypeError, r"mask is a int; give a path"),
        ("missing.png", FileNotFoundError, r"mask='missing.png' does not exist"),
        (WHITE * 3.0, InputError, r"mask has float values from 0 to 765"),
    ],
)
def test_what_is_no_mask_is_refused(mask, error, message):
    with pytest.raises(error, match=message):
        read_known(mask, (6, 9))


def test_reach():
    known = torch.ones(1, 1, 20, 20)
    known[..., 5:10, 3:12] = 0  # the middle row is 3 pixels from what is known
    assert reaches(known, 3)
    assert not reaches(known, 2)
    known[..., :3, 3:12] = 0  # a hole at the edge is known on three sides
    assert reaches(known, 3)

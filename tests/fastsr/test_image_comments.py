"""What an image file says of itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr import images

COMMENT = "A face that nobody has."


def said(path):
    with Image.open(path) as image:
        image.load()
        tags = image.getexif() if path.suffix != ".tif" else image.tag_v2
        found = image.info.get("Description") or image.info.get("comment") or tags.get(270)
    return found.decode() if isinstance(found, bytes) else found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_comment_is_written(suffix, dtype, tmp_path):
    picture = images.read(np.full((5, 4, 3), np.iinfo(dtype).max, dtype))
    images.save(picture, tmp_path / f"plain{suffix}")
    assert said(tmp_path / f"plain{suffix}") is None
    images.save(replace(picture, comment=COMMENT), tmp_path / f"a{suffix}")
    assert said(tmp_path / f"a{suffix}") == COMMENT
    assert (images.load(tmp_path / f"a{suffix}") == 1).all()


def test_pil_images_carry_it_from_one_function_to_the_next(tmp_path):
    picture = replace(images.read(Image.new("RGB", (4, 3))), comment=COMMENT)
    image = picture.like(torch.zeros(1, 3, 6, 8))
    assert image.info["comment"] == COMMENT
    images.save(image.rotate(90), tmp_path / "a.png")
    assert said(tmp_path / "a.png") == COMMENT


def test_comments_of_files_and_others_than_ascii_stay_behind(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "a.jpg", comment="\u00e9")
    image = Image.new("RGB", (4, 3))
    image.info["comment"] = "\u00e9"
    for img in (tmp_path / "a.jpg", image):
        assert images.read(img).comment is None

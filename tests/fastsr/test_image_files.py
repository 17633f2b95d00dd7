"""Image files: what is read from them, and what is written."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

import fastsr
from fastsr import images
from fastsr.errors import OutputError
from fastsr.imresize import imresize

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTED = {  # how a stored picture is shown, by its EXIF orientation
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a),
}


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def same(pixels):
    return pixels


# What is kept.


def save_png16(array, exif=None):
    """Return the bytes of a 16-bit PNG, all rows with filter 0, from the standard and not from fastsr."""
    height, width, channels = array.shape

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"eXIf", exif) if exif else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("orientation", ORIENTED)
def test_exif_orientation_is_applied_once(orientation, tmp_path):
    upright = noise(4, 6, 3)
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = np.ascontiguousarray(ORIENTED[undo](upright))
    path = tmp_path / "a.png"
    Image.fromarray(stored).save(path, exif=exif(orientation))
    with Image.open(path) as opened:
        results = [images.read(path).map(same), images.read(opened).map(same)]
    for result in results:
        np.testing.assert_array_equal(np.asarray(result), upright)
    fastsr.save(results[0], tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as again:
        assert 0x0112 not in again.getexif()
    np.testing.assert_array_equal((fastsr.load(path) * 255).round().permute(1, 2, 0), upright)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("orientation", [1, 6])
def test_png_with_16_bits_keeps_every_bit(channels, orientation, tmp_path):
    upright = noise(4, 6, channels, dtype=np.uint16)
    path = tmp_path / "a.png"
    stored = ORIENTED[8](upright) if orientation == 6 else upright
    path.write_bytes(save_png16(stored, exif(orientation).removeprefix(b"Exif\0\0")))
    picture = images.read(path)
    result = picture.like(picture.pixels)
    assert isinstance(result, Image.Image if channels == 1 else np.ndarray)
    np.testing.assert_array_equal(np.asarray(result).reshape(upright.shape), upright)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff_with_16_bits_keeps_every_bit(order, compression, channels, tmp_path):
    array = noise(5, 7, channels, dtype=np.uint16)
    array = array[..., 0] if channels == 1 else array
    kind = {"photometric": "minisblack"} if channels == 1 else {"photometric": "rgb", "planarconfig": "contig"}
    extra = ["unassalpha"] if channels == 4 else None
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, byteorder=order, compression=compression, extrasamples=extra, **kind)
    picture = images.read(path)
    np.testing.assert_array_equal(np.asarray(picture.like(picture.pixels)), array)


def test_16_bits_that_cannot_be_kept_are_announced(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(5, 7, 4, dtype=np.uint16), photometric="rgb", extrasamples=["assocalpha"])
    with pytest.warns(UserWarning, match="16-bit channels .* are read as 8 bits"):
        assert images.read(path).levels == 255


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_written(suffix, channels, tmp_path):
    array = noise(9, 7, channels, dtype=np.uint16)
    path = tmp_path / f"a{suffix}"
    picture = replace(images.read(array), icc=ICC, dpi=(300.0, 200.0))
    fastsr.save(picture, path)
    again = images.read(path)
    if suffix == ".tif" and channels == 2:  # as RGBA: Pillow does not read grey and alpha at 16 bits
        array = array[..., [0, 0, 0, 1]]
    if suffix == ".tif":
        np.testing.assert_array_equal(tifffile.imread(path).reshape(array.shape), array)
    np.testing.assert_array_equal(np.asarray(again.like(again.pixels, again.alpha)).reshape(array.shape), array)
    assert again.icc == ICC
    assert again.dpi == pytest.approx((300, 200), abs=0.02)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff", ".webp", ".bmp", ".PNG"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_8_bits_are_written(suffix, mode, tmp_path):
    array = noise(9, 7, {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}[mode])
    if array.shape[2] in (2, 4):
        array[..., -1] |= 1  # WebP does not keep what is under alpha 0
    path = tmp_path / f"a{suffix}"
    if suffix == ".bmp" and "A" in mode:
        with pytest.raises(OutputError, match="cannot hold transparency"):
            fastsr.save(array, path)
        assert not list(tmp_path.iterdir())
        return
    fastsr.save(array, path)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image.convert(mode)).reshape(array.shape), array)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_profile_and_resolution_are_carried(suffix, tmp_path):
    source, target = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    Image.fromarray(noise(8, 8, 3)).save(source, icc_profile=ICC, dpi=(300, 300))
    result = images.read(source).map(lambda pixels: imresize(pixels, 2))
    fastsr.save(result, target)
    with Image.open(target) as image:
        assert image.size == (16, 16)
        assert image.info["icc_profile"] == ICC
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.02)


def test_files_that_state_no_resolution_get_none(tmp_path):
    for suffix in (".png", ".tif", ".jpg"):
        Image.new("L", (3, 3)).save(tmp_path / f"a{suffix}")
        assert images.read(tmp_path / f"a{suffix}").dpi is None
    fastsr.save(noise(3, 3, 3, dtype=np.uint16), tmp_path / "b.tif")
    assert images.read(tmp_path / "b.tif").dpi is None


def test_jpeg_is_written_well(tmp_path):
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8)
    fastsr.save(smooth, tmp_path / "a.jpg")
    assert np.abs(np.asarray(Image.open(tmp_path / "a.jpg")).astype(int) - smooth).max() <= 4


def test_bits_can_be_chosen(tmp_path):
    tensor = torch.rand(3, 4, 5)
    fastsr.save(tensor, tmp_path / "8.png")
    fastsr.save(tensor, tmp_path / "16.png", bits=16)
    fastsr.save(noise(4, 5, dtype=np.uint16), tmp_path / "down.png", bits=8)
    fastsr.save(noise(4, 5, dtype=np.uint16), tmp_path / "down.jpg")
    assert torch.equal(fastsr.load(tmp_path / "8.png"), (tensor * 255 + 0.5).floor() / 255)
    assert torch.equal(fastsr.load(tmp_path / "16.png"), (tensor * 65535 + 0.5).floor() / 65535)
    assert images.read(tmp_path / "16.png").levels == 65535
    assert images.read(tmp_path / "down.png").levels == images.read(tmp_path / "down.jpg").levels == 255


@pytest.mark.parametrize(
    ("image", "channels"),
    [
        (Image.new("L", (3, 2)), 1),
        (Image.new("LA", (3, 2)), 2),
        (Image.new("RGB", (3, 2)), 3),
        (Image.new("RGBA", (3, 2)), 4),
        (Image.fromarray(np.zeros((2, 3), np.uint16)), 1),
    ],
)
def test_load_gives_channels_as_stored(image, channels, tmp_path):
    image.save(tmp_path / "a.png")
    tensor = fastsr.load(tmp_path / "a.png")
    assert tensor.dtype == torch.float32
    assert tensor.shape == (channels, 2, 3)


# Modes that are converted.


def test_palette_becomes_rgb(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    result = images.read(image).map(same)
    assert result.mode == "RGB"
    assert np.asarray(result).tolist() == [[[10, 20, 30], [40, 50, 60]]]
    image.save(tmp_path / "a.png", transparency=1)
    result = images.read(tmp_path / "a.png")
    assert result.pixels.shape == (1, 3, 1, 2)
    assert result.alpha.tolist() == [[[[1, 0]]]]


def test_palette_with_alpha_becomes_rgba():
    image = Image.new("P", (1, 1))
    image.putpalette([10, 20, 30, 40], "RGBA")
    assert np.asarray(images.read(image).like(torch.zeros(1, 3, 1, 1))).tolist() == [[[0, 0, 0, 40]]]


@pytest.mark.parametrize(("mode", "value"), [("L", 7), ("RGB", (7, 8, 9)), ("1", 1)])
def test_a_transparent_colour_becomes_alpha(mode, value, tmp_path):
    image = Image.new(mode, (2, 1), value)
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "a.png", transparency=value)
    picture = images.read(tmp_path / "a.png")
    assert picture.pixels.shape[1] == len(image.getbands())
    assert picture.alpha.tolist() == [[[[1, 0]]]]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_of_16_bits_becomes_alpha(channels, tmp_path):
    array = np.full((1, 2, channels), 0x1234, np.uint16)
    array[0, 0, 0] = 0x1235  # the upper byte is the same
    data = save_png16(array)
    key = struct.pack(f">{channels}H", *[0x1234] * channels)
    chunk = struct.pack(">I", len(key)) + b"tRNS" + key + struct.pack(">I", zlib.crc32(b"tRNS" + key))
    (tmp_path / "a.png").write_bytes(data.replace(data[33:], chunk + data[33:]))
    picture = images.read(tmp_path / "a.png")
    assert picture.levels == 65535
    assert picture.alpha.tolist() == [[[[1, 0]]]]
    np.testing.assert_array_equal((picture.pixels * 65535).round()[0].permute(1, 2, 0), array)


def test_cmyk_becomes_rgb_without_its_profile(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "a.jpg", icc_profile=b"ink", quality=100)
    picture = images.read(tmp_path / "a.jpg")
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(picture.pixels, red, atol=0.02, rtol=0)
    assert picture.icc is None


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("1", "L"), ("La", "LA"), ("PA", "RGBA"), ("RGBa", "RGBA"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("I;16B", "I;16")],
)
def test_other_modes_are_converted(mode, becomes):
    image = Image.new(mode, (3, 2), 1 if mode == "1" else None or 0)
    result = images.read(image).map(same)
    assert result.mode == becomes
    if mode == "1":
        assert np.asarray(result).tolist() == [[255] * 3] * 2


def test_of_several_frames_the_first_is_used(tmp_path):
    frames = [Image.new("L", (3, 2), value) for value in (10, 200)]
    for name in ("a.gif", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.warns(UserWarning, match=r"several frames; only the first"):
            picture = images.read(tmp_path / name)
        assert (picture.pixels * 255).round().unique().tolist() == [10]


def test_a_photo_with_previews_is_one_photo(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "a.mpo", save_all=True, append_images=[Image.new("L", (4, 4))])
    assert fastsr.load(tmp_path / "a.mpo").shape == (1, 8, 8)


def test_saving_over_a_file_replaces_it(tmp_path):
    path = str(tmp_path / "a.png")
    fastsr.save(noise(2, 2), path)
    fastsr.save(noise(3, 3), path)
    assert fastsr.load(path).shape == (1, 3, 3)
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["a.png"]

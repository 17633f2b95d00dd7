import struct
import zlib
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

import fastsr
from fastsr import images
from fastsr.errors import FastsrError, InputError, InputTypeError, MissingFileError, OutputError
from fastsr.resize import imresize

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

FLOATS = st.floats(0, 1, width=16)
DTYPES = {
    "uint8": st.integers(0, 255),
    "uint16": st.integers(0, 65535),
    ">u2": st.integers(0, 65535),
    "bool": st.booleans(),
    "float16": FLOATS,
    "float32": FLOATS,
    "float64": FLOATS,
}
TORCH_DTYPES = ["uint8", "uint16", "bool", "float16", "bfloat16", "float32", "float64"]
SIDES = st.integers(1, 5)


def noise(*shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def same(pixels):
    return pixels


def double(pixels):
    return pixels.repeat_interleave(2, -2).repeat_interleave(2, -1)


def double_array(array, rows=0):
    return array.repeat(2, rows).repeat(2, rows + 1)


def numpy_images():
    shapes = st.one_of(
        st.tuples(SIDES, SIDES),
        st.tuples(SIDES, SIDES, st.sampled_from([1, 3])),
        st.tuples(st.integers(1, 3), SIDES, SIDES, st.sampled_from([1, 3])),
    )
    arrays = [hnp.arrays(np.dtype(name), shapes, elements=values) for name, values in DTYPES.items()]
    return st.one_of(arrays)


@settings(deadline=None)
@given(numpy_images())
def test_numpy_comes_back_with_its_shape_dtype_and_values(array):
    result = images.transform(array, same)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@settings(deadline=None)
@given(numpy_images())
def test_what_the_function_does_to_the_pixels_happens_to_the_array(array):
    result = images.transform(array, double)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, double_array(array, rows=1 if array.ndim == 4 else 0))


@settings(deadline=None)
@given(
    hnp.arrays(np.uint16, st.tuples(SIDES, st.sampled_from([1, 3]), SIDES, SIDES), elements=st.integers(0, 65535)),
    st.sampled_from(TORCH_DTYPES),
    st.booleans(),
)
def test_torch_comes_back_with_its_shape_dtype_and_values(values, dtype, batch):
    dtype = getattr(torch, dtype)
    tensor = torch.from_numpy(values / 65535.0)
    if dtype in (torch.uint8, torch.uint16):
        tensor = torch.from_numpy(values % 256 if dtype == torch.uint8 else values)
    tensor = (tensor if batch else tensor[0]).to(dtype)
    result = images.transform(tensor, same)
    assert result.dtype == dtype
    assert torch.equal(result.double(), tensor.to(torch.float32).double())  # floats pass through float32


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16", "I", "F"])
@settings(deadline=None)
@given(data=st.data())
def test_pil_comes_back_with_its_mode_and_values(mode, data):
    channels = {"LA": 2, "RGB": 3, "RGBA": 4}.get(mode)
    dtype = {"I;16": "uint16", "I": "uint16", "F": "float32"}.get(mode, "uint8")
    shape = data.draw(st.tuples(SIDES, SIDES)) + ((channels,) if channels else ())
    array = data.draw(hnp.arrays(dtype, shape, elements=DTYPES[dtype]))
    if channels in (2, 4):
        array[..., -1] = np.maximum(array[..., -1], 1)  # what is under alpha 0 is not kept
    image = Image.fromarray(array.astype(np.int32) if mode == "I" else array)
    result = images.transform(image, same)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), array)


@pytest.mark.parametrize(("dtype", "levels"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_level_is_kept(dtype, levels):
    array = np.arange(levels + 1, dtype=dtype).reshape(16, -1)
    picture = images.read(array)
    assert picture.levels == levels
    np.testing.assert_array_equal((picture.pixels * levels).round()[0, 0], array)
    for image in (array, torch.from_numpy(array)[None], Image.fromarray(array)):
        np.testing.assert_array_equal(np.asarray(images.transform(image, same)).reshape(array.shape), array)


def test_pixels_are_channels_rows_columns_in_0_1():
    array = noise(4, 5, 3)
    expected = torch.from_numpy(array).permute(2, 0, 1)[None] / 255
    for image in (array, Image.fromarray(array), expected[0], torch.from_numpy(array).permute(2, 0, 1)):
        picture = images.read(image)
        assert picture.pixels.dtype == torch.float32
        assert torch.equal(picture.pixels, expected)
        assert picture.alpha is None


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_is_split_off_and_put_back(channels):
    array = noise(4, 5, channels)
    picture = images.read(array)
    assert picture.pixels.shape == (1, channels - 1, 4, 5)
    np.testing.assert_array_equal((picture.alpha * 255).round()[0, 0], array[..., -1])
    np.testing.assert_array_equal(picture.like(picture.pixels), array)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    assert torch.equal(images.read(tensor).like(picture.pixels), tensor)


def test_results_are_clipped_and_rounded_half_up():
    picture = images.read(np.zeros((1, 4), np.uint8))
    values = torch.tensor([-0.3, 1.7, 10.5 / 255, 0.4 / 255])
    assert picture.like(values.view(1, 1, 1, 4)).tolist() == [[0, 255, 11, 0]]
    assert images.read(np.zeros((1, 2), bool)).like(torch.tensor([[[[0.49, 0.5]]]])).tolist() == [[False, True]]
    assert images.read(torch.zeros(1, 1, 2)).like(torch.tensor([[[[-1.0, 2.0]]]])).tolist() == [[[0, 1]]]
    with_alpha = images.read(np.zeros((1, 1, 2), np.uint8))
    assert with_alpha.like(with_alpha.pixels, torch.full((1, 1, 1, 1), 1.5)).tolist() == [[[0, 255]]]


def test_a_result_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(1, 3, 4, 4\) do not fit .* \(1, 1, 4, 4\)"):
        images.read(np.zeros((4, 4))).like(torch.zeros(1, 3, 4, 4))
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\) do not fit .* \(1, 3, 4, 4\)"):
        images.read(np.zeros((4, 4, 4))).like(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match="do not fit"):
        images.read(np.zeros((4, 4))).like(torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))


def test_gradients_flow_through_torch_images():
    tensor = torch.rand(2, 3, 4, 4, requires_grad=True)
    images.transform(tensor, lambda pixels: pixels**2).sum().backward()
    torch.testing.assert_close(tensor.grad, 2 * tensor.detach())


def test_views_and_read_only_arrays_are_taken():
    read_only = noise(6, 8)
    read_only.flags.writeable = False
    for array in (noise(6, 8, 3)[::-1, ::2], noise(8, 6, 3).transpose(1, 0, 2), read_only):
        np.testing.assert_array_equal(images.transform(array, same), array)


@pytest.mark.parametrize("image", [np.full((2, 2), 0.5, np.float32), torch.full((2, 1, 2, 2), 0.5)])
def test_an_image_is_not_changed_by_work_in_place(image):
    images.transform(image, lambda pixels: pixels.mul_(0.5))
    assert (image == 0.5).all()


def test_lists_give_lists_of_the_same_kinds():
    mixed = (noise(2, 3), Image.new("RGB", (4, 5)), torch.zeros(1, 2, 2))
    result = images.transform(mixed, double)
    assert [type(one) for one in result] == [np.ndarray, Image.Image, torch.Tensor]
    assert [tuple(np.asarray(one).shape) for one in result] == [(4, 6), (10, 8, 3), (1, 4, 4)]


def test_a_picture_is_an_image_too(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise(4, 5, 3)).save(path, icc_profile=ICC, dpi=(300, 200))
    picture = images.transform(images.read(path), same)
    assert isinstance(picture, images.Picture)
    assert picture.icc == ICC
    assert picture.dpi == pytest.approx((300, 200), abs=0.02)
    assert torch.equal(picture.pixels, images.read(path).pixels)


# Alpha.


def blur(pixels):
    weights = torch.full((pixels.shape[1], 1, 3, 3), 1 / 9)
    return torch.nn.functional.conv2d(torch.nn.functional.pad(pixels, (1,) * 4), weights, groups=pixels.shape[1])


@pytest.mark.parametrize("fn", [blur, partial(imresize, scale=2), lambda pixels: double(blur(pixels))])
def test_invisible_colours_do_not_bleed(fn):
    red, hidden_green = (255, 0, 0, 255), (0, 255, 0, 0)
    array = np.array([[red] * 4 + [hidden_green] * 4] * 8, np.uint8)
    result = images.transform(array, fn)
    visible = result[..., 3] > 0
    assert visible.any()
    assert not visible.all()
    assert (result[..., 1] == 0).all()
    assert (result[visible, 0] > 100).all()


def test_colours_are_zero_where_nothing_is_visible():
    assert images.transform(np.array([[[0.3, 0.0]]]), same).tolist() == [[[0, 0]]]


def test_alpha_is_resized_by_the_bicubic_kernel():
    alpha = noise(6, 7)
    array = np.dstack([noise(6, 7, 3), alpha])
    grown = images.transform(array, double)[..., 3]
    expected = fastsr.resize(alpha / 255, 2, kernel="bicubic").clip(0, 1)
    assert np.abs(grown - 255 * expected).max() <= 0.51


def test_opaque_pictures_are_as_without_alpha():
    array = noise(5, 6, 3)
    opaque = np.dstack([array, np.full((5, 6), 255, np.uint8)])
    np.testing.assert_array_equal(images.transform(opaque, double), double_array(opaque))


# Files.


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
        results = [images.transform(path, same), images.transform(opened, same)]
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
    result = images.transform(source, double)
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
    result = images.transform(image, same)
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
    result = images.transform(image, same)
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


# What cannot be used.


def broken_files(folder):
    whole = BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(whole, "PNG")
    jpeg = BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(jpeg, "JPEG")
    files = {
        "text.png": b"not an image",
        "empty.png": b"",
        "cut.png": whole.getvalue()[:2000],
        "cut.jpg": jpeg.getvalue()[:2000],
        "cut16.png": save_png16(noise(64, 64, 3, dtype=np.uint16))[:2000],
        "header.png": whole.getvalue()[:20],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return list(files)


def test_broken_files_are_named(tmp_path):
    for name in broken_files(tmp_path):
        message = "not an image that Pillow can read|truncated or broken"
        with pytest.raises(InputError, match=rf"img='.*{name}'.*({message})"):
            images.read(tmp_path / name)
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(InputError, match=r"img .*truncated"):
        images.read(image)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"path='.*no.png' does not exist"):
        fastsr.load(tmp_path / "no.png")
    with pytest.raises(InputError, match=r"img='.*' is a folder"):
        images.read(str(tmp_path))
    with pytest.raises(InputTypeError, match="path is a ndarray"):
        fastsr.load(np.zeros((2, 2)))


def test_decompression_bombs_are_refused_unless_allowed(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (30, 20)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(InputError, match=r"a.png'.* \(600 pixels\) .* 400 pixels.*--max-pixels"):
        images.read(path)
    assert images.read(path, max_pixels=600).pixels.shape == (1, 1, 20, 30)
    assert fastsr.load(path, max_pixels=600).shape == (1, 20, 30)
    with pytest.raises(InputError, match="30x20 pixels, more than max_pixels=599"):
        images.read(path, max_pixels=599)
    assert Image.MAX_IMAGE_PIXELS == 200


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (None, InputTypeError, "img is a NoneType; give a path"),
        (b"a.png", InputTypeError, "img is a bytes"),
        (np.zeros((2, 2), np.int64), InputTypeError, "img has dtype int64; use uint8"),
        (np.zeros((2, 2), complex), InputTypeError, "dtype complex128"),
        (torch.zeros(3, 2, 2, dtype=torch.int64), InputTypeError, "img has dtype int64"),
        (np.zeros(4), InputError, r"shape \(4,\)"),
        (np.zeros((2, 2, 5)), InputError, r"shape \(2, 2, 5\), so 5 channels; an image has 1 to 4$"),
        (np.zeros((3, 8, 9)), InputError, r"channels first: use array.transpose\(1, 2, 0\)"),
        (torch.zeros(8, 9), InputError, r"shape \(8, 9\).*use tensor\[None\]"),
        (torch.zeros(8, 9, 3), InputError, r"channels last: use tensor.permute\(2, 0, 1\)"),
        (torch.zeros(1, 1, 3, 2, 2), InputError, r"shape \(1, 1, 3, 2, 2\)"),
        (np.zeros((0, 4, 3)), InputError, "no pixels"),
        (np.zeros((2, 0)), InputError, "no pixels"),
        (torch.zeros(0, 3, 2, 2), InputError, "no pixels: 0 images of 2x2"),
        (Image.new("RGB", (0, 3)), InputError, "img has 0x3 pixels"),
        (np.array([[0.5, np.nan]]), InputError, "img holds NaN or infinite"),
        (np.array([[0.5, -np.inf]]), InputError, "img holds NaN or infinite"),
        (np.array([[0.5, 255.0]]), InputError, "from 0.5 to 255; .* divide by 255"),
        (np.array([[-0.5, 0.5]]), InputError, r"from -0.5 to 0.5; .* clip it"),
        (torch.tensor([[[-1.0, 1.0]]]), InputError, "from -1 to 1"),
        (Image.fromarray(np.array([[0, 70000]], np.int32)), InputError, "mode 'I' has values from 0 to 70000"),
        (Image.fromarray(np.array([[0, 3]], np.float32)), InputError, "from 0 to 3"),
        ([], InputError, "img is an empty list"),
        ([np.zeros((2, 2)), np.zeros((2, 2, 7))], InputError, r"img\[1\] has shape"),
    ],
)
def test_what_is_not_an_image_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        images.transform(image, same)


def test_rounding_outside_0_1_is_clipped():
    array = np.array([[-0.001, 0.5, 1.001]])
    assert images.read(array).pixels.tolist() == [[[[0, 0.5, 1]]]]


@pytest.mark.parametrize(
    ("image", "name", "options", "message"),
    [
        (np.zeros((2, 2)), "a.xyz", {}, "a.xyz' has no suffix that can be written: .png"),
        (np.zeros((2, 2)), "a", {}, "no suffix that can be written"),
        (np.zeros((2, 2, 4)), "a.jpg", {}, "JPEG cannot hold transparency"),
        (np.zeros((2, 2)), "a.jpg", {"bits": 16}, "JPEG cannot hold 16 bits"),
        (np.zeros((2, 2)), "a.png", {"bits": 12}, "bits=12"),
        (np.zeros((2, 2, 2, 3)), "a.png", {}, "batch of 2 images"),
        (np.zeros((1, 17000)), "a.webp", {}, "WEBP cannot hold this image: .* 16383"),
        (np.zeros((1, 70000)), "a.jpg", {}, "a.jpg' cannot be written"),
        (np.zeros((2, 2)), "missing/a.png", {}, "missing/a.png' cannot be written: No such file"),
    ],
)
def test_what_cannot_be_saved_is_refused(image, name, options, message, tmp_path):
    with pytest.raises(FastsrError, match=message):
        fastsr.save(image, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_saving_over_a_file_replaces_it(tmp_path):
    path = str(tmp_path / "a.png")
    fastsr.save(noise(2, 2), path)
    fastsr.save(noise(3, 3), path)
    assert fastsr.load(path).shape == (1, 3, 3)
    assert [entry.name for entry in Path(tmp_path).iterdir()] == ["a.png"]

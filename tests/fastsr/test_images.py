"""Images of every kind as one tensor, and back."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageCms

import fastsr
from fastsr import images
from fastsr.errors import InputError, InputTypeError
from fastsr.imresize import imresize

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
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
    result = images.read(array).map(same)
    assert result.dtype == array.dtype
    np.testing.assert_array_equal(result, array)


@settings(deadline=None)
@given(numpy_images())
def test_what_the_function_does_to_the_pixels_happens_to_the_array(array):
    result = images.read(array).map(double)
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
    result = images.read(tensor).map(same)
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
    result = images.read(image).map(same)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), array)


@pytest.mark.parametrize(("dtype", "levels"), [(np.uint8, 255), (np.uint16, 65535)])
def test_every_level_is_kept(dtype, levels):
    array = np.arange(levels + 1, dtype=dtype).reshape(16, -1)
    picture = images.read(array)
    assert picture.levels == levels
    np.testing.assert_array_equal((picture.pixels * levels).round()[0, 0], array)
    for image in (array, torch.from_numpy(array)[None], Image.fromarray(array)):
        np.testing.assert_array_equal(np.asarray(images.read(image).map(same)).reshape(array.shape), array)


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
    images.read(tensor).map(lambda pixels: pixels**2).sum().backward()
    torch.testing.assert_close(tensor.grad, 2 * tensor.detach())


def test_views_and_read_only_arrays_are_taken():
    read_only = noise(6, 8)
    read_only.flags.writeable = False
    for array in (noise(6, 8, 3)[::-1, ::2], noise(8, 6, 3).transpose(1, 0, 2), read_only):
        np.testing.assert_array_equal(images.read(array).map(same), array)


@pytest.mark.parametrize("image", [np.full((2, 2), 0.5, np.float32), torch.full((2, 1, 2, 2), 0.5)])
def test_an_image_is_not_changed_by_work_in_place(image):
    images.read(image).map(lambda pixels: pixels.mul_(0.5))
    assert (image == 0.5).all()


def test_lists_give_lists_of_the_same_kinds():
    mixed = (noise(2, 3), Image.new("RGB", (4, 5)), torch.zeros(1, 2, 2))
    result = images.each(mixed, lambda picture, _: picture.map(double))
    assert [type(one) for one in result] == [np.ndarray, Image.Image, torch.Tensor]
    assert [tuple(np.asarray(one).shape) for one in result] == [(4, 6), (10, 8, 3), (1, 4, 4)]


def test_a_picture_is_an_image_too(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise(4, 5, 3)).save(path, icc_profile=ICC, dpi=(300, 200))
    picture = images.read(images.read(path)).map(same)
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
    result = images.read(array).map(fn)
    visible = result[..., 3] > 0
    assert visible.any()
    assert not visible.all()
    assert (result[..., 1] == 0).all()
    assert (result[visible, 0] > 100).all()


def test_colours_are_zero_where_nothing_is_visible():
    assert images.read(np.array([[[0.3, 0.0]]])).map(same).tolist() == [[[0, 0]]]


def test_alpha_is_resized_by_the_bicubic_kernel():
    alpha = noise(6, 7)
    array = np.dstack([noise(6, 7, 3), alpha])
    grown = images.read(array).map(double)[..., 3]
    expected = fastsr.resize(alpha / 255, 2, kernel="bicubic").clip(0, 1)
    assert np.abs(grown - 255 * expected).max() <= 0.51


def test_opaque_pictures_are_as_without_alpha():
    array = noise(5, 6, 3)
    opaque = np.dstack([array, np.full((5, 6), 255, np.uint8)])
    np.testing.assert_array_equal(images.read(opaque).map(double), double_array(opaque))


# What cannot be used.


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (None, InputTypeError, "img is a NoneType; give a path"),
        (b"a.png", InputTypeError, "img is a bytes"),
        (np.zeros((2, 2), np.int64), InputTypeError, "img has dtype int64; use uint8"),
        (np.zeros((2, 2), complex), InputTypeError, "dtype complex128"),
        (torch.zeros(3, 2, 2, dtype=torch.int64), InputTypeError, "img has dtype int64"),
        (
            torch.zeros(3, 2, 2).to_sparse(),
            InputTypeError,
            r"img is a tensor not dense but torch\.sparse_coo; give a dense",
        ),
        (torch.zeros(3, 2, 2, device="meta"), InputTypeError, "img is a tensor on the device meta, without values"),
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
        images.each(image, lambda picture, _: picture.map(same))


def test_rounding_outside_0_1_is_clipped():
    array = np.array([[-0.001, 0.5, 1.001]])
    assert images.read(array).pixels.tolist() == [[[[0, 0.5, 1]]]]

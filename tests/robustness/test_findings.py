"""What the fuzzer, and looking for it, has found: each once made fastsr fail in another way than it should."""

import io
import json
import struct
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save as to_safetensors

import fastsr
from benchmarks.robustness.checkpoint_seeds import seeds
from fastsr import images
from fastsr.checkpoints.reading import read
from fastsr.errors import InputError
from fastsr.srgan.formats import load


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_an_image_file_of_floats_that_are_no_colours_is_named(value, tmp_path):
    Image.fromarray(np.full((2, 2), value, np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"path='.*a\.tif' (holds NaN|has float values)"):
        fastsr.load(tmp_path / "a.tif")


def test_a_header_that_states_more_than_memory_is_that_of_a_broken_file(tmp_path):
    signature = struct.pack(">I4s4s", 12, b"jP  ", b"\r\n\x87\n")
    huge = struct.pack(">I4sQ", 1, b"jp2h", 2**45)
    (tmp_path / "a.jp2").write_bytes(signature + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jp2 ", 0, b"jp2 ") + huge)
    with pytest.raises(InputError, match=r"path='.*a\.jp2' cannot be decoded: .* broken"):
        fastsr.load(tmp_path / "a.jp2")


def test_a_resolution_that_no_picture_has_is_left_out(tmp_path):
    deep = np.zeros((2, 2, 3), np.uint16)
    for name, dpi in (("some.tif", 60000.0), ("more.tif", 4e9)):
        fastsr.save(replace(images.read(deep), dpi=(300.0, dpi)), tmp_path / name)
    assert images.read(tmp_path / "some.tif").dpi == (300, 60000)
    assert images.read(tmp_path / "more.tif").dpi is None


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")  # torch says so of its own reader of quantised ones
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cycle.pth", "holds no weights of a network"),
        ("prefixes.pth", "is of an unknown network"),
        ("huge.pth", r"states more numbers in 'conv_first\.weight' than it holds"),
        ("meta.pth", "on the device meta"),
        ("sparse.pth", "of the layout torch.sparse_coo"),
        ("quantized.pth", "of the type torch.qint8"),
        ("jagged.pth", "that is nested"),
        ("complex.pth", "of the type torch.complex64"),
    ],
)
def test_tensors_that_are_not_simply_in_the_file_are_refused(name, message, tmp_path):
    (tmp_path / name).write_bytes(seeds(tmp_path / "trap")[name])
    with pytest.raises(InputError, match=message):
        load(tmp_path / name)


def test_a_pickle_that_asks_for_memory_is_refused(tmp_path):
    pickled = b"\x80\x02}X\x01\x00\x00\x00actorch\nFloatTensor\nJ\x40\x42\x0f\x00\x85Rs."  # {"a": FloatTensor(1000000)}
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        for name, data in (("data.pkl", pickled), ("byteorder", b"little"), ("version", b"3\n")):
            archive.writestr(f"a/{name}", data)
    with pytest.raises(InputError, match="states more numbers in 'a' than it holds"):
        read(tmp_path / "a.pth")


def test_an_archive_whose_parts_are_larger_than_it_is_refused(tmp_path):
    torch.save({"a": torch.zeros(10**6)}, tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as whole, zipfile.ZipFile(tmp_path / "b.pth", "w", 8) as packed:
        for name in whole.namelist():
            packed.writestr(name, whole.read(name))
    with pytest.raises(InputError, match=r"b\.pth' cannot be read as a checkpoint"):
        read(tmp_path / "b.pth")


@pytest.mark.parametrize(
    "change", [{"blocks": 10**9}, {"width": 10**9}, {"blocks": 1.5}, {"kernels": [3, 3, 10**5 + 1]}]
)
def test_a_small_file_that_tells_of_a_large_network_is_refused(change, tmp_path):
    facts = {
        "architecture": "SRResNet",
        "config": {"blocks": 1, "width": 2, "scale": 2, **change},
        "input_range": "unit",
        "output_range": "unit",
    }
    data = to_safetensors({"a": torch.ones(1)}, {"fastsr": json.dumps(facts)})
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.safetensors' looks like fastsr, but does not fit"):
        load(tmp_path / "a.safetensors")


def test_a_description_without_end_is_refused(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(to_safetensors({"a": torch.ones(1)}, {"fastsr": "[" * 100_000}))
    with pytest.raises(InputError, match=r"a\.safetensors' was written for another method or by another version"):
        load(tmp_path / "a.safetensors")


def test_an_archive_that_only_torch_would_open_is_refused(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    before = data[entry:]
    data[entry + 6] = 91  # the version that is needed to take it apart: 9.1
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.pth' cannot be read as a checkpoint"):
        read(tmp_path / "a.pth")
    data[entry:] = before
    data[entry + 9] |= 8  # its name is UTF-8, which it then is not
    data[entry + 46] = 0xFF
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.pth' cannot be read as a checkpoint"):
        read(tmp_path / "a.pth")


@pytest.mark.parametrize("shape", [(), (2,), (0, 3, 3, 3)])
def test_shapes_that_no_convolution_has_are_refused(shape, tmp_path):
    tensors = torch.load(io.BytesIO(seeds(tmp_path / "trap")["basicsr.pth"]))
    torch.save({**tensors, "conv_first.weight": torch.zeros(shape)}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=r"a\.pth' looks like BasicSR MSRResNet, but does not fit"):
        load(tmp_path / "a.pth")

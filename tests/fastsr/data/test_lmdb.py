import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.data.crops import Crops, batches
from fastsr.data.lmdb import FIRST_BYTES, Writer, find_records, is_database
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError

lmdb = pytest.importorskip("lmdb")
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork\\(\\):DeprecationWarning")


def png(height, width, mode="RGB"):
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    values = np.random.default_rng(height * width).integers(0, 256, shape).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, "png")
    return values, file.getvalue()


def write(folder, **pictures):
    writer = Writer(folder)
    writer.put({name: data for name, (_, data) in pictures.items()})
    writer.close()
    return folder


def test_what_is_written_is_read(tmp_path):
    pictures = {"b": png(5, 7), "a b.c": png(9, 3, "L"), "ä": png(4, 4, "RGBA")}
    folder = write(tmp_path / "HR.lmdb", **pictures)
    assert is_database(folder)
    records = find_records(folder)
    assert list(records) == ["a b.c", "b", "ä"]
    for name, (values, _) in pictures.items():
        assert records[name].sides() == values.shape[:2]
        expected = np.broadcast_to(values.reshape(*values.shape[:2], -1)[..., :3], (*values.shape[:2], 3))
        assert np.array_equal(records[name].read().permute(1, 2, 0).numpy(), expected)


def test_the_layout_is_that_of_basicsr(tmp_path):
    picture = png(5, 7)
    folder = write(tmp_path / "HR.lmdb", a=picture)
    assert (folder / "meta_info.txt").read_text() == "a.png (5,7,3) 6\n"
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        assert transaction.get(b"a") == picture[1]


def test_a_database_grows(tmp_path, monkeypatch):
    monkeypatch.setattr("fastsr.data.lmdb.FIRST_BYTES", FIRST_BYTES // 2**12)
    pictures = {f"p{number}": png(100, 100 + number) for number in range(8)}
    records = find_records(write(tmp_path / "HR.lmdb", **pictures))
    assert all(np.array_equal(records[n].read().permute(1, 2, 0).numpy(), pictures[n][0]) for n in pictures)


def test_pictures_are_added(tmp_path):
    folder = write(tmp_path / "HR.lmdb", a=png(5, 7))
    writer = Writer(folder)
    assert "a" in writer
    assert "b" not in writer
    writer.put({"b": png(3, 3)[1]})
    writer.close()
    assert list(find_records(folder)) == ["a", "b"]


def test_databases_are_training_folders(tmp_path):
    hr = write(tmp_path / "HR.lmdb", a=png(16, 20), b=png(24, 16))
    write(tmp_path / "LR_bicubic_X4.lmdb", a=png(4, 5), b=png(6, 4))
    write(tmp_path / "LR_bicubic_X2.lmdb", a=png(8, 10), b=png(12, 8))
    for factor in (4, 2):
        pictures = find_training_pictures([tmp_path], factor)
        assert [(p.hr.name, p.hr.folder.name, p.lr.name, p.lr.folder.name) for p in pictures] == [
            (name, "HR.lmdb", name, f"LR_bicubic_X{factor}.lmdb") for name in "ab"
        ]
    assert [picture.lr for picture in find_training_pictures([hr], 4)] == [None, None]
    assert [picture.lr for picture in find_training_pictures([tmp_path], 8)] == [None, None]


def test_databases_may_be_called_as_basicsr_calls_those_of_div2k(tmp_path):
    write(tmp_path / "DIV2K_train_HR_sub.lmdb", a=png(8, 8))
    write(tmp_path / "DIV2K_train_LR_bicubic_X4_sub.lmdb", a=png(2, 2))
    assert find_training_pictures([tmp_path], 4)[0].lr is not None


@pytest.mark.parametrize("workers", [0, 2])
def test_crops_come_from_databases(workers, tmp_path):
    folder = write(tmp_path / "HR.lmdb", **{f"p{n}": png(16 + n, 20) for n in range(6)})
    pictures = find_training_pictures([folder], 4)
    held, crops = Crops(pictures, 8, 4, 0), Crops(pictures, 8, 4, 0, memory=0)
    expected = torch.stack([held[n]["hr"] for n in range(6)])
    assert torch.equal(torch.stack([crops[n]["hr"] for n in range(6)]), expected)  # and then from forked processes
    made = batches(crops, 6, first=0, workers=workers)
    assert torch.equal(next(made)["hr"], expected)
    made.close()


def test_hr_and_lr_that_do_not_belong_together(tmp_path):
    write(tmp_path / "HR.lmdb", a=png(8, 8), b=png(8, 8))
    write(tmp_path / "LR_bicubic_X4.lmdb", a=png(2, 2))
    with pytest.raises(InputError, match=r"LR_bicubic_X4\.lmdb' has no picture 'b'"):
        find_training_pictures([tmp_path], 4)
    write(tmp_path / "GT.lmdb", a=png(8, 8))
    with pytest.raises(InputError, match=r"holds GT\.lmdb, HR\.lmdb, LR_bicubic_X4\.lmdb; give a folder with one"):
        find_training_pictures([tmp_path], 4)


def test_databases_that_cannot_be_used(tmp_path):
    folder = write(tmp_path / "HR.lmdb", a=png(8, 8))
    meta = folder / "meta_info.txt"
    for text, message in [
        ("a.png (8,8,3) 1\nb.png\n", r"has the line 'b\.png'"),
        ("", "holds no picture"),
        (None, r"meta_info\.txt' cannot be read"),
    ]:
        if text is None:
            meta.unlink()
        else:
            meta.write_text(text)
        with pytest.raises(InputError, match=message):
            find_records(folder)


def test_records_that_cannot_be_read(tmp_path):
    folder = write(tmp_path / "HR.lmdb", a=png(8, 8))
    (folder / "meta_info.txt").write_text("a.png (8,9,3) 1\nb.png (8,8,3) 1\n")
    records = find_records(folder)
    with pytest.raises(InputError, match=r"'a' in '.*HR\.lmdb' is 8x8 pixels, and 9x8 in meta_info"):
        records["a"].read()
    with pytest.raises(InputError, match=r"'b' in '.*HR\.lmdb' is in meta_info\.txt and not in data\.mdb"):
        records["b"].read()
    for data, message in [(b"no picture", "not an image"), (png(8, 8)[1][:-60], "'a' in '.*' cannot be decoded")]:
        writer = Writer(folder)
        writer.put({"a": data})
        writer._environment.close()
        with pytest.raises(InputError, match=message):
            records["a"].read()
    (folder / "data.mdb").write_bytes(b"broken" * 1000)
    with pytest.raises(InputError, match=r"HR\.lmdb' cannot be read"):
        records["a"].read()


def test_without_the_package_it_is_named(tmp_path, monkeypatch):
    folder = write(tmp_path / "HR.lmdb", a=png(8, 8))
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match="needs the package lmdb; install it with pip install lmdb"):
        find_training_pictures([folder], 4)
    with pytest.raises(InputError, match="needs the package lmdb"):
        Writer(tmp_path / "new.lmdb")
    assert not (tmp_path / "new.lmdb").exists()

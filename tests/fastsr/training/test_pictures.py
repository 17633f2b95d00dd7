import pytest
import torch

from fastsr.data.prepare import prepare
from fastsr.data.training import find_training_pictures
from fastsr.images import save
from fastsr.training.pictures import described


def pair(folder):
    """A folder of HR and one of LR pictures, and nothing else."""
    for kind, side in (("HR", 32), ("LR", 8)):
        (folder / kind).mkdir(parents=True)
        for index in range(2):
            save(torch.zeros(3, side, side), folder / kind / f"{index}.png")
    return folder


def words(folder, factor=4):
    return described(find_training_pictures([folder], factor), [str(folder)])


def test_lr_files_have_names_too(tmp_path):
    pair(tmp_path)
    before = words(tmp_path)
    for path in (tmp_path / "LR").iterdir():
        path.rename(path.with_name(f"{path.stem}x4.png"))
    assert words(tmp_path) != before


@pytest.mark.parametrize("folder", [".", "a"])
def test_a_short_name_of_the_folder_takes_nothing_from_those_of_pictures(folder, save_noise, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for name in ("a.b.png", "ab.png", "b.png"):
        path = save_noise(tmp_path / folder / name, 16, 16)
        found.append(words(folder))
        path.unlink()
    assert len(set(found)) == 3


@pytest.mark.parametrize("sizes", [None, (8, 32)])
def test_databases_can_be_moved(sizes, tmp_path, monkeypatch):
    pytest.importorskip("lmdb")
    hr = pair(tmp_path / "pair") / "HR"
    prepare([hr], tmp_path / "here", lmdb=True, sizes=sizes, workers=1, progress=False)
    monkeypatch.chdir(tmp_path)
    before = words("here")
    assert before.startswith("2 with LR files and names of digest ")
    (tmp_path / "here").rename("there")
    assert words("there") == words(tmp_path / "there") == before

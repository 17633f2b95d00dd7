import json

import pytest
import torch

from fastsr.errors import InputError, OutputError
from fastsr.training.run_folder import RunFolder
from fastsr.training.settings import Settings

SETTINGS = Settings(data=("a",))


@pytest.fixture
def folder(tmp_path):
    made = RunFolder(tmp_path / "run")
    made.open(SETTINGS, 0)
    return made


def test_a_new_folder_has_no_state(tmp_path):
    assert RunFolder(tmp_path / "run").state() is None
    assert not (tmp_path / "run").exists()


def test_the_last_state_is_the_one_saved(folder):
    folder.save({"step": 1, "weights": torch.ones(3)})
    folder.save({"step": 2, "weights": torch.zeros(3)})
    found = folder.state()
    assert found["step"] == 2
    assert torch.equal(found["weights"], torch.zeros(3))


def test_a_state_that_cannot_be_written_leaves_the_one_before(folder):
    folder.save({"step": 1})
    with pytest.raises(AttributeError):
        folder.save({"step": 2, "function": lambda: None})
    assert folder.state() == {"step": 1}
    assert [path.name for path in (folder.path / "checkpoints").iterdir()] == ["last.pt"]


def test_a_damaged_state_is_told(folder):
    folder.save({"step": 1})
    path = folder.path / "checkpoints" / "last.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"last\.pt' cannot be read as a checkpoint"):
        folder.state()


def test_the_log_is_cut_back_to_the_steps_done(folder):
    for step in range(1, 6):
        folder.log({"step": step, "loss": 0.5})
    with open(folder.path / "losses.jsonl", "ab") as file:
        file.write(b'{"step": 6, "lo')
    folder.open(SETTINGS, 3)
    text = (folder.path / "losses.jsonl").read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1, 2, 3]


@pytest.mark.parametrize("damaged", [b"{]", b"\0\0\0", b"\xff", b"3", b"{}", b'{"step": "2"}'])
def test_a_damaged_line_of_the_log_is_left_out(damaged, folder):
    folder.log({"step": 1, "loss": 0.5})
    with open(folder.path / "losses.jsonl", "ab") as file:
        file.write(damaged + b"\n")
    folder.log({"step": 2, "loss": 0.5})
    folder.open(SETTINGS, 2)
    text = (folder.path / "losses.jsonl").read_text()
    assert [json.loads(line)["step"] for line in text.splitlines()] == [1, 2]


def test_scores_of_the_last_step_go_where_they_are_made_again(folder):
    for step in (1, 2):
        folder.log({"step": step, "loss": 0.5})
        folder.log({"step": step, "val_psnr": 20.0})
    folder.open(SETTINGS, 2, scored=False)
    text = (folder.path / "losses.jsonl").read_text()
    assert [list(json.loads(line)) for line in text.splitlines()] == [
        ["step", "loss"],
        ["step", "val_psnr"],
        ["step", "loss"],
    ]


def test_an_infinite_score_is_written_as_text(folder):
    folder.log({"step": 1, "val_psnr": float("inf")})
    assert json.loads((folder.path / "losses.jsonl").read_text()) == {"step": 1, "val_psnr": "inf"}


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is not writable"):
        RunFolder(tmp_path / "file" / "run").open(SETTINGS, 0)


def test_a_run_without_its_file_of_settings_is_told(folder):
    (folder.path / "config.yaml").unlink()
    folder.check(SETTINGS, None)
    with pytest.raises(InputError, match=r"output='.*run' holds a run of 1 steps without config\.yaml.*put that back"):
        folder.check(SETTINGS, {"step": 1})


def test_what_a_killed_process_left_goes(folder):
    leftover = folder.path / "checkpoints" / ".0123abcd.tmp"
    leftover.write_bytes(b"half")
    folder.save({"step": 1})
    folder.open(SETTINGS, 1)
    assert not leftover.exists()
    assert folder.state() == {"step": 1}

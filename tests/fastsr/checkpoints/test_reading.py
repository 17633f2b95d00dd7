import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fastsr.checkpoints.reading import read
from fastsr.errors import InputError


class Planted:
    """Would make a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_torch_and_safetensors_files_are_read_alike(tmp_path):
    tensors = {"a.weight": torch.rand(3, 2), "b.bias": torch.rand(4).half()}
    torch.save(tensors, tmp_path / "zip.pth")
    torch.save(tensors, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "safe.safetensors", {"note": "kept"})
    for name, metadata in (("zip.pth", {}), ("legacy.pth", {}), ("safe.safetensors", {"note": "kept"})):
        contents = read(tmp_path / name)
        assert set(contents.tensors) == set(tensors)
        assert all(torch.equal(contents.tensors[key], value.float()) for key, value in tensors.items())
        assert contents.metadata == metadata


def test_counts_of_batches_and_what_is_no_tensor_are_left_out(tmp_path):
    torch.save({"epoch": 3, "n.weight": torch.zeros(1), "n.num_batches_tracked": torch.tensor(1)}, tmp_path / "a.pth")
    assert set(read(tmp_path / "a.pth").tensors) == {"n.weight"}


def test_no_code_of_a_file_is_run(tmp_path):
    trap = tmp_path / "trap"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "extra": Planted(trap)}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"holds a Python object, \S*open, and reading that would run code"):
        read(tmp_path / "evil.pth")
    assert not trap.exists()


def test_a_pickled_network_is_refused_with_what_to_do(tmp_path):
    torch.save({"model": nn.Conv2d(3, 3, 1)}, tmp_path / "model.pth.tar")
    with pytest.raises(InputError, match=r"torch\.nn\.\S*Conv2d, and .* save the network's state_dict\(\) alone"):
        read(tmp_path / "model.pth.tar")


def test_truncated_files_are_refused(tmp_path):
    tensors = {"weight": torch.rand(100, 100)}
    torch.save(tensors, tmp_path / "zip.pth")
    torch.save(tensors, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    save_file(tensors, tmp_path / "safe.safetensors")
    for whole in list(tmp_path.iterdir()):
        data = whole.read_bytes()
        for part in (0, 1, 10, 100, len(data) // 2, len(data) - 1):
            whole.write_bytes(data[:part])
            with pytest.raises(InputError, match=f"{whole.name}.*cannot be read .*may be cut short"):
                read(whole)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "page.pth").write_text("<html>404</html>")
    with pytest.raises(InputError, match="cannot be read as a checkpoint"):
        read(tmp_path / "page.pth")
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(InputError, match="holds no weights of a network; it holds a list"):
        read(tmp_path / "list.pth")
    torch.save({"epoch": 1, "loss": 2.0}, tmp_path / "log.pth")
    with pytest.raises(InputError, match="holds no weights of a network; its keys are epoch, loss"):
        read(tmp_path / "log.pth")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused(value, tmp_path):
    torch.save({"fine": torch.zeros(2), "broken": torch.tensor([0, value])}, tmp_path / "a.pth")
    with pytest.raises(InputError, match="holds NaN or infinite values, in 'broken'"):
        read(tmp_path / "a.pth")

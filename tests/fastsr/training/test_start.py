import pytest
import torch

from fastsr.errors import DeviceError, InputError
from fastsr.training.settings import Settings
from fastsr.training.start import fast_arithmetic, start

pytestmark = pytest.mark.usefixtures("fresh_accelerate")


def test_what_makes_a_gpu_fast_is_undone():
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark
    with fast_arithmetic(torch.device("cuda")):
        assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark) == ("high", True)
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.benchmark) == before


def test_settings_and_not_the_launcher_choose_the_precision(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert start(Settings(("a",), device="cpu"), tmp_path).mixed_precision == "no"


def test_a_launcher_does_not_make_gradients_smaller(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    accelerator = start(Settings(("a",), device="cpu"), tmp_path)
    weight = torch.ones((), requires_grad=True)
    accelerator.backward(3 * weight)
    assert weight.grad == 3


def test_each_training_has_its_own_precision(tmp_path):
    precisions = ("float32", "bfloat16")
    made = [start(Settings(("a",), device="cpu", precision=name), tmp_path).mixed_precision for name in precisions]
    assert made == ["no", "bf16"]


def test_what_cannot_be_started_is_told(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="precision='float16' needs a GPU; use float32 or bfloat16"):
        start(Settings(("a",), device="cpu", precision="float16"), tmp_path)
    with pytest.raises(InputError, match="batch=16 cannot be shared by 1 processes with accumulate=3; give a multiple"):
        start(Settings(("a",), device="cpu", accumulate=3), tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="no CUDA device"):
        start(Settings(("a",), device="cuda"), tmp_path)


def test_a_logger_that_is_not_installed_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("fastsr.training.start.find_spec", lambda name: None)
    with pytest.raises(InputError, match="logger='wandb' needs its package: pip install wandb"):
        start(Settings(("a",), device="cpu", logger="wandb"), tmp_path)

"""Which implementation of `reflect_conv2d` runs."""

import pytest
import torch

from fastsr_kernels import backend
from fastsr_kernels import reflect_conv_choice as choice
from fastsr_kernels.reflect_conv import reflect_conv2d
from fastsr_kernels.reflect_conv_kernels import Problem
from tests.kernels.reflect_conv_cases import W, X

ROW = {"pass": "dgrad", "kernel": [3, 3], "stride": 1, "pad": [1, 1], "in": 3, "out": 6, "dtype": "float32"}


@pytest.fixture
def measured(monkeypatch):
    rows = [
        ROW | {"pixels": 100, "impl": "gather"},
        ROW | {"pixels": 10000, "impl": "padded"},
        ROW | {"pixels": 1000, "stride": 2, "impl": "descriptor"},
    ]
    monkeypatch.setattr(choice, "_table", lambda: {"some GPU": rows})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "some GPU")
    choice._measured.cache_clear()
    yield
    choice._measured.cache_clear()


@pytest.mark.parametrize(
    ("pass_", "batch", "stride", "expected"),
    [
        ("dgrad", 1, 1, "gather"),
        ("dgrad", 45, 1, "gather"),
        ("dgrad", 55, 1, "padded"),
        ("dgrad", 10**6, 1, "padded"),
        ("dgrad", 1, 2, "descriptor"),
        ("forward", 1, 1, "torch"),
        ("wgrad", 1, 1, "torch"),
    ],
)
def test_auto_is_what_was_measured(pass_, batch, stride, expected, measured):
    problem = Problem.of((batch, 3, 4, 5), W.shape, stride, (1, 1))
    assert choice.look_up("auto", pass_, problem, X) == expected


def test_what_was_not_measured_runs_in_torch(measured):
    problem = Problem.of((1, 3, 4, 5), (7, 3, 3, 3), 1, (1, 1))
    assert choice.look_up("auto", "dgrad", problem, X) == "torch"
    assert choice.look_up("auto", "dgrad", problem, X.half()) == "torch"
    problem = Problem.of((1, 3, 6, 7), W.shape, 1, (0, 0))
    assert choice.look_up("auto", "dgrad", problem, X) == "torch"


def test_the_table_has_what_is_looked_up():
    for rows in choice._table().values():
        for row in rows:
            assert row.keys() == {*ROW, "pixels", "impl"}
            assert row["pass"] in ("forward", "dgrad", "wgrad")
            assert row["impl"] in choice.RIVALS


@pytest.mark.parametrize(
    ("environment", "impl", "expected"),
    [
        ("auto", None, "auto"),
        ("auto", "auto", "auto"),
        ("auto", "triton", "gather"),
        ("auto", "padded", "padded"),
        ("triton", None, "gather"),
        ("torch", None, "torch"),
        ("torch", "descriptor", "descriptor"),
    ],
)
def test_environment_stands_in_for_auto(environment, impl, expected, monkeypatch):
    monkeypatch.setenv(backend.ENVIRONMENT_VARIABLE, environment)
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(backend, "_resolve", lambda device, impl: backend.explain(gpu, impl)[0])
    monkeypatch.setattr(backend, "triton_problem", lambda: None)
    assert choice.choose(X, impl) == expected
    assert choice.choose(X.double(), impl) == "torch"


@pytest.mark.skipif(backend.interpreted(), reason="the interpreter takes tensors on the CPU")
@pytest.mark.parametrize("impl", ["triton", "padded", "gather", "descriptor"])
def test_kernels_are_refused_where_they_cannot_run(impl):
    with pytest.raises(ValueError, match="Triton kernels were asked for"):
        reflect_conv2d(X, W, impl=impl)

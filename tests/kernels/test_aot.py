"""Every kernel compiles for every GPU, without one, and as it should."""

import dataclasses

import pytest

from fastsr_kernels import backend
from fastsr_kernels.backend import AotCase, jit, tl

pytest.importorskip("triton", reason="there is nothing to compile with")
aot = pytest.importorskip("benchmarks.aot")
pytestmark = pytest.mark.skipif(backend.interpreted(), reason="interpreted kernels cannot be compiled")


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))


@pytest.mark.parametrize(
    ("case", "target"),
    [pytest.param(case, target, id=f"{op}: {case.name}, {target}") for op, case, target in aot.find_cases()],
)
def test_compiles_without_problems(case, target):
    assert aot.compile_case(case, target, count=False).problems == ()


@jit
def product(x, y, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row, column = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    a = tl.load(x + row * COLUMNS + column)
    tl.store(y + row * ROWS + tl.arange(0, ROWS)[None, :], tl.dot(a, tl.trans(a)).to(y.dtype.element_ty))


PRODUCT = AotCase(
    "product", product, {"x": "*bf16", "y": "*bf16"}, {"ROWS": 64, "COLUMNS": 64}, matrix=True, warpgroups=True
)


def test_a_good_kernel_has_no_problems():
    for target in aot.TARGETS:
        report = aot.compile_case(PRODUCT, target)
        assert report.problems == ()
        assert report.registers > 0
        assert report.shared > 0
    assert aot.compile_case(PRODUCT, "sm_90").matrix.startswith("HGMMA")
    assert aot.compile_case(PRODUCT, "gfx942").matrix.startswith("v_mfma")


@jit
def wide(x, y, SIZE: tl.constexpr):
    """One warp keeps SIZE numbers across a sum."""
    offset = tl.arange(0, SIZE)
    numbers = tl.load(x + offset)
    tl.store(y + offset, numbers * tl.sum(numbers))


@pytest.mark.parametrize(("target", "size"), [("sm_90", 16384), ("gfx942", 32768)])
def test_spills_are_found(target, size):
    case = AotCase("wide", wide, {"x": "*fp32", "y": "*fp32"}, {"SIZE": size}, num_warps=1)
    assert any("spills" in problem for problem in aot.compile_case(case, target).problems)


def test_other_problems_are_found(monkeypatch):
    monkeypatch.setattr(aot, "COMPILE_SECONDS", 0.0)
    monkeypatch.setitem(aot.SHARED_BYTES, "sm_90", 100)
    small = dataclasses.replace(PRODUCT, constants={"ROWS": 16, "COLUMNS": 16})
    problems = " and ".join(aot.compile_case(small, "sm_90").problems)
    assert "shared memory" in problems
    assert "HGMMA" in problems
    assert "compiles in" in problems


@pytest.mark.parametrize("target", aot.TARGETS)
def test_products_elsewhere_than_on_the_tensor_cores_are_found(target):
    case = AotCase("wide", wide, {"x": "*fp32", "y": "*fp32"}, {"SIZE": 256}, matrix=True)
    assert aot.compile_case(case, target).problems == ("makes its matrix products without the tensor cores",)

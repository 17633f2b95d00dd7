"""The tables of kernels/README.md: what they are made of, and that every op is in them."""

import pkgutil

import pytest

import fastsr_kernels
from benchmarks import floors
from benchmarks.report import ROOT, write_between_marks
from fastsr.dip.network import HourglassConfig

aot = pytest.importorskip("benchmarks.aot")  # where there is no Triton, nothing is compiled

README = (ROOT / "kernels" / "README.md").read_text()
SHARED = (
    *("arguments", "axis_table", "backend", "channel_statistics", "definitions", "memory", "philox"),
    *("reflect_conv_choice", "tiles"),
)
"""What the ops are made of."""


def test_a_table_is_put_between_its_marks(tmp_path):
    path = tmp_path / "some.md"
    path.write_text("before\n<begin>\nold\n<end>\nbehind\n")
    write_between_marks(path, ("<begin>", "<end>"), "| new |")
    assert path.read_text() == "before\n<begin>\n\n| new |\n\n<end>\nbehind\n"
    with pytest.raises(ValueError, match=r"some\.md has no <end> with <begin> behind it"):
        write_between_marks(path, ("<end>", "<begin>"), "")


def test_the_summary_has_a_cell_for_each_target():
    report = aot.Report(40, 0, 2048, "HGMMA 4", 700, 1.0, ())
    found = {("op", "all"): {"sm_80": report, "sm_90": report, "sm_100": report, "gfx942": report}}
    found |= {("op", "new"): {"sm_90": report, "sm_100": report}, ("op", "hip"): {"gfx942": report}}
    lines = aot.summary(found).splitlines()
    assert lines[-2:] == [
        "| op | all | 40 / 40 / 40 | 2 / 2 / 2 | 700 / 700 / 700 | HGMMA 4 |",
        "| op | new | - / 40 / 40 | - / 2 / 2 | - / 700 / 700 | HGMMA 4 |",
    ]


def test_the_readme_has_every_op_and_every_case():
    for module in pkgutil.iter_modules(fastsr_kernels.__path__):
        if module.name not in SHARED and not module.name.endswith("_kernels"):
            assert f"| `{module.name}." in README
    for op, case, target in aot.find_cases():
        if aot.TARGETS[target].backend == "cuda":
            assert f"| {op} | {case.name} |" in README


def test_the_floor_is_that_of_memory_or_of_the_matrix_units():
    case = floors.Case("norm_act_pad, a", 430_000_000, lambda: (), {})
    assert floors.cells("norm", case, {})[1:] == ["430.0", "-", "100.0", "125.0 (80%)", "owed"]
    case = floors.Case("forward a", 430_000, lambda: (), {}, flops=79_000_000_000)
    measured = {"forward a": [{"microseconds": 200.0, "rival": "gather"}, {"microseconds": 150.0, "rival": "padded"}]}
    assert floors.cells("conv", case, measured)[2:] == ["79.0", "100.0", "166.7 (60%)", "150.0 (padded)"]


def test_traffic_of_a_step_is_counted_by_passes():
    config = HourglassConfig(channels=(8,), skip_channels=2)
    moved = floors.step_traffic(config, 16)
    area, small = 2 * 16 * 16, 2 * 8 * 8
    plain = [2 * area, 8 * small, 8 * area, 8 * area]
    assert moved["fused"] == 8 * (sum(plain) + 8 * small) + 3.75 * 10 * area
    assert moved["separate"] == 13 * sum(plain) + 18 * 8 * small + 19.5 * 10 * area

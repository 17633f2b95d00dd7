"""The benchmarks themselves, on small inputs: every call is checked, none is timed for its speed."""

import json
from dataclasses import replace

import pytest
import torch

from benchmarks import (
    blur_cases,
    conv_cases,
    conv_table,
    correctness,
    diffusion_cases,
    dip_cpu_step,
    dip_step,
    gpu_queue,
    group_norm_cases,
    kernels,
    measure,
    resize_cpu,
    style_cases,
    timing,
)
from benchmarks.straightforward import COMPILED, EAGER, NHWC, OURS
from fastsr.dip import recipes
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import upscale

CPU = torch.device("cpu")


OURS_OF = {  # op -> the functions that its benchmark calls, and where
    "noise": [(kernels, "add_noise")],
    "diffusion": [(diffusion_cases, "diffuse"), (diffusion_cases, "reverse_step")],
    "resample": [(kernels, "resample")],
    "norm": [(kernels.norm_act_pad, "norm_act_pad"), (kernels.upsample_norm_pad, "upsample_norm_pad")],
    "group_norm": [(group_norm_cases, "group_norm")],
    "style": [(style_cases, "style_epilogue")],
    "blur": [(blur_cases, "upsample_blur"), (blur_cases, "blur_downsample")],
    "conv": [(conv_cases, "reflect_conv2d")],
}


@pytest.mark.parametrize("op", kernels.CASES)
def test_every_rival_is_right(op):
    result = kernels.run(op, CPU, smoke=True)
    assert result["copy_gigabytes_per_second"] is None
    for row in result["rows"]:
        assert row["excess"] <= 1
        assert row["microseconds"] is None
        assert row["bytes"] > 0
    ours = {"conv": {"torch"}}.get(op, {name for _, name in OURS_OF[op]})
    assert {row["rival"] for row in result["rows"]} > ours


@pytest.mark.parametrize("op", kernels.CASES)
@pytest.mark.parametrize("damage", [lambda y: y * 1.1, lambda y: y * torch.nan, lambda y: y + 0.1])
def test_no_speed_of_a_wrong_result(op, damage, monkeypatch):
    place, name = OURS_OF[op][0]
    right = getattr(place, name)

    def wrong(x, *args, **kwargs):
        y = right(x, *args, **kwargs)
        return y if x.dtype == torch.float64 else damage(y)  # float64 is what it is compared with

    monkeypatch.setattr(place, name, wrong)
    monkeypatch.setattr(measure, "time_calls", lambda calls, device: pytest.fail("timed"))
    monkeypatch.setattr(measure, "copy_bandwidth", lambda device: 1.0)
    monkeypatch.setattr(measure, "matrix_rate", lambda device: 1.0)
    with pytest.raises(ArithmeticError, match="the error is"):
        measure.measure(list(kernels.CASES[op](CPU, True)), CPU, timed=True)


def test_a_product_is_compared_with_the_rate_of_a_large_one(monkeypatch):
    monkeypatch.setattr(timing, "COPIED_BYTES", 2**20)
    monkeypatch.setattr(timing, "MATRIX_SIDE", 2**10)
    case = next(conv_cases.cases(CPU, smoke=True))
    result = measure.measure([case], CPU, timed=True)
    row = result["rows"][0]
    assert case.flops == 2 * 12 * 12 * 16 * 8 * 9
    assert row["teraflops"] == pytest.approx(case.flops / row["microseconds"] / 1e6)
    assert row["of_matrix"] == pytest.approx(row["teraflops"] / result["matrix_teraflops"])


def rows_of(case, **microseconds):
    return [
        {"case": case, "rival": rival, "of_matrix": 100 / time, "of_copy": 100 / time}
        | {"microseconds": time, "labels": {"pass": case}}
        for rival, time in microseconds.items()
    ]


def test_targets_are_met_by_the_best_rival_or_missed():
    names = [f"{pass_} 128->128 3x3 stride 1 at 512x512" for pass_ in conv_cases.PASSES]
    fpad = conv_cases.FPAD
    rows = rows_of(names[0], torch=200, padded=150, gather=300, **{fpad: 149})
    rows += rows_of(names[1], torch=200, padded=210, **{fpad: 100}) + rows_of("dgrad 8->8", torch=1)
    found = kernels.against_targets("conv", rows)
    assert [(t["case"], t["figure"], t["met"]) for t in found] == [
        (names[0], "of_matrix", True),
        (names[1], "of_matrix", False),
        (names[1], f"speed over {fpad}", False),
        (names[0], f"speed over {fpad}", True),
    ]
    assert [t["met"] for t in kernels.against_targets("norm", rows_of("norm_act_pad, a", norm_act_pad=126))] == [False]


def test_the_table_takes_the_plainest_of_the_fastest():
    rows = rows_of("a", torch=100.5, gather=100, padded=90) + rows_of("b", torch=100.5, gather=100)
    rows += rows_of("a", **{conv_cases.FPAD: 10})
    table = conv_table.table([{"device": "some GPU", "result": {"rows": rows}}])
    assert table == {"some GPU": [{"pass": "a", "impl": "padded"}, {"pass": "b", "impl": "torch"}]}


def test_no_table_without_a_measurement(tmp_path, capsys):
    assert conv_table.main(tmp_path, tmp_path / "table.json") == 1
    assert "nothing was measured" in capsys.readouterr().err
    (item,) = (item for item in gpu_queue.ITEMS if item.name == "reflect-conv")
    report = {"status": "done", "device": "some GPU", "result": {"rows": rows_of("a", torch=1)}}
    report["fingerprint"] = gpu_queue.fingerprint(item)
    (tmp_path / "some-gpu").mkdir()
    (tmp_path / "some-gpu" / "reflect-conv.json").write_text(json.dumps(report))
    assert conv_table.main(tmp_path, tmp_path / "table.json") == 0
    assert json.loads((tmp_path / "table.json").read_text()) == {"some GPU": [{"pass": "a", "impl": "torch"}]}


def test_a_row_has_times_and_bandwidth(monkeypatch, capsys):
    monkeypatch.setattr(timing, "COPIED_BYTES", 2**20)
    case = next(kernels.noise_cases(CPU, smoke=True))
    result = measure.measure([case], CPU, timed=True)
    row = result["rows"][0]
    assert row["percentile_20"] <= row["microseconds"] <= row["percentile_80"]
    assert row["gigabytes_per_second"] == pytest.approx(row["bytes"] / row["microseconds"] / 1e3)
    assert row["of_copy"] == pytest.approx(row["gigabytes_per_second"] / result["copy_gigabytes_per_second"])
    assert "of a copy" in capsys.readouterr().out


def test_each_call_is_timed_on_its_own_memory():
    seen = []
    timed = timing.time_calls([lambda: seen.append("a"), lambda: seen.append("b")], CPU)
    assert seen == ["a", "b"] * (timing.CPU_ROUNDS + 1)
    assert 0 < timed.low <= timed.median <= timed.high


def test_rivals_take_turns():
    seen = []
    timed = timing.time_in_turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")})
    assert seen == ["a", "b"] * (timing.CPU_ROUNDS + 1)
    assert all(0 < timed[name].low <= timed[name].median <= timed[name].high for name in ("a", "b"))


@pytest.mark.parametrize(("name", "scale"), resize_cpu.SCALES.items())
def test_resize_cpu_times_equal_results(name, scale, monkeypatch):
    row = resize_cpu.measure(name, scale, 64)
    assert row["ratio"] == pytest.approx(row["milliseconds"]["fastsr"] / row["milliseconds"]["torch"])
    monkeypatch.setattr(resize_cpu, "imresize", lambda x, size: torch.zeros(*x.shape[:2], *size))
    with pytest.raises(ArithmeticError, match=f"{name}: the results differ by"):
        resize_cpu.measure(name, scale, 64)


def thin(recipe):
    return replace(recipe, network=HourglassConfig(channels=(8, 8)))


def test_dip_step_runs_both_presets(monkeypatch):
    for module in (dip_step, recipes):
        monkeypatch.setattr(module, "upscale", lambda preset, factor: thin(upscale(preset, factor)))
    rows = dip_step.run("cpu", side=64, counts=(1, 20), timed=False)["rows"]
    rivals = (OURS, EAGER, NHWC, COMPILED)
    assert [(row["preset"], row["rival"]) for row in rows] == [(p, r) for p in ("paper", "fast") for r in rivals]
    assert all("milliseconds_per_step" not in row for row in rows)


def test_dip_cpu_step_has_a_row_for_each_rival(no_processes, monkeypatch):
    no_processes(dip_cpu_step)
    monkeypatch.setitem(dip_cpu_step.RECIPES, "narrower", thin(dip_cpu_step.RECIPES["narrower"]))
    rows = dip_cpu_step.measure("narrower", 64, (EAGER, OURS), rounds=1)
    assert [row["rival"] for row in rows] == [EAGER, OURS]
    for row in rows:
        assert row["seconds_per_step"] > 0
        assert 0 < row["convolution_share"] < 1
    assert dip_cpu_step.line(rows[0], rows[0]).split("|")[6].strip() == "1.00"


def test_dip_step_refuses_a_fit_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(
        dip_step.fastsr, "dip", lambda *args, callback, **kwargs: [callback(n, None, Fit(n)) for n in (1, 2)]
    )
    with pytest.raises(ArithmeticError, match=r"paper: the fit went from -1\.00 to -2\.00 dB"):
        dip_step.run("cpu", side=32, timed=False)


class Fit:
    def __init__(self, step):
        self.psnr = -step


CONFTEST = """
def pytest_configure(config):
    config.addinivalue_line("markers", "triton: launches a kernel")
"""
MARKED_TESTS = """
import pytest
pytestmark = pytest.mark.triton

def test_a():
    assert {right}

def test_b():
    pytest.skip("not here")
"""


@pytest.mark.parametrize("right", [True, False])
def test_correctness_counts_the_marked_tests(tmp_path, right):
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_fake.py").write_text(MARKED_TESTS.format(right=right))
    if right:
        assert correctness.run(str(tmp_path)) == {"passed": 1, "skipped": 1}
    else:
        with pytest.raises(ArithmeticError, match=r"status 1: .*'failed': 1"):
            correctness.run(str(tmp_path))


def test_correctness_without_a_test_is_a_failure(tmp_path):
    (tmp_path / "test_fake.py").write_text("def test_a():\n    pass\n")
    with pytest.raises(ArithmeticError, match="no test was run"):
        correctness.run(str(tmp_path))

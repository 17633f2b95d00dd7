"""What ``fastsr doctor`` finds, and notices."""

import pytest

from fastsr import doctor
from fastsr_kernels import philox


def lines_of(name):
    lines, healthy = doctor.report()
    return [line for line in lines if line.startswith(f"  {name} ")], healthy


@pytest.mark.parametrize(("kernels", "stream"), [("auto", "mt19937"), ("torch", "philox")])
def test_the_stream_of_the_noise_is_named(kernels, stream, monkeypatch):
    monkeypatch.setenv("FASTSR_KERNELS", kernels)
    (line, *_), healthy = lines_of("noise")
    assert healthy
    assert "torch   ok" in line
    assert f"(stream {stream}; " in line


@pytest.mark.parametrize("kernels", ["bogus", "triton"])
def test_kernels_that_cannot_be_chosen_are_reported(kernels, monkeypatch):
    monkeypatch.setenv("FASTSR_KERNELS", kernels)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    for name in ("noise", "resample"):
        (line, *_), healthy = lines_of(name)
        assert not healthy
        assert "FAILED: ValueError: " in line
        assert f"FASTSR_KERNELS={kernels}" in line


def test_a_wrong_definition_of_the_noise_is_noticed(monkeypatch):
    monkeypatch.setattr(philox, "WEYL", (0x9E3779B9, 0xBB67AE84))
    (line, *_), healthy = lines_of("noise")
    assert not healthy
    assert "FAILED: ArithmeticError" in line

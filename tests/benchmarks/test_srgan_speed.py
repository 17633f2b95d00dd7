"""The comparison of SRResNet's speed, on a small picture."""

from functools import partial

from benchmarks import srgan_speed
from benchmarks.srgan_speed import EAGER, OURS, measure, table
from fastsr.srgan.network import SRResNetConfig


def test_rivals_are_timed_in_turns_and_set_beside_one_another(no_processes, monkeypatch):
    no_processes(srgan_speed)
    monkeypatch.setattr(srgan_speed, "SRResNetConfig", partial(SRResNetConfig, blocks=1, width=8))
    rows = measure("cpu", None, {24: 2}, (32,), rivals=(EAGER, OURS))
    assert [(row["side"], row["rival"]) for row in rows] == [(24, EAGER), (24, OURS), (32, OURS)]
    for row in rows:
        assert 0 < row["fastest"] <= row["seconds"] <= row["slowest"]
    assert rows[1]["fastest"] < rows[1]["slowest"]  # two rounds
    plain, ours, larger = table(rows).splitlines()[2:]
    assert plain.split("|")[5].strip() == "1.00"
    assert ours.split("|")[5].strip() == f"{rows[0]['seconds'] / rows[1]['seconds']:.2f}"
    assert larger.split("|")[5].strip() == ""

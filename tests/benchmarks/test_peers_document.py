"""docs/peers.md: what the tables say, and that it holds what was measured."""

import json

import pytest

from benchmarks.peers import document, tables
from benchmarks.report import RESULTS

WHERE = {
    "device": "Some CPU",
    "threads": 1,
    "torch": "2.13.0",
    "commit": "0123456789abcdef",
    "date": "2026-11-22T10:00:00+00:00",
    "load": [0.1, 1.0],
    "busy": False,
    "failures": {},
}


def cost(seconds, mebibytes=1):
    return {
        "seconds": seconds,
        "fastest": seconds / 2,
        "slowest": 2 * seconds,
        "rounds": 3,
        "peak_bytes": mebibytes * 2**20,
    }


def agreement(rival, percent):
    inside = {"percent_inside": percent / 2, "most_inside": 3}
    return {"rival": rival, "gradient": False, "values": 1000, "differing": 10, "percent": percent, "most": 4, **inside}


RESIZE = WHERE | {
    "rows": [
        {"rival": "fastsr", "case": "down", "side": 512, **cost(0.002)},
        {"rival": "torch, antialias", "case": "down", "side": 512, **cost(0.004)},
        {"rival": "OpenCV INTER_AREA", "case": "down", "side": 512, **cost(0.0005)},
        {"rival": "fastsr, uint8", "case": "down", "side": 512, **cost(0.01)},
        {"rival": "Pillow BICUBIC, uint8", "case": "down", "side": 512, **cost(0.005)},
        {"rival": "fastsr", "case": "up", "side": 512, **cost(0.02)},
    ],
    "agreement": [agreement("fastsr", 11.0), agreement("resize-right", 10.0), agreement("fastsr, uint8", 1.0)],
    "failures": {"kornia, antialias": "ImportError: none"},
}
METRICS = WHERE | {
    "rows": [
        {
            "rival": "fastsr",
            "about": "BT.601",
            "psnr": 28.430,
            "ssim": 0.8111,
            "niqe": {"image1.bmp": 5.0290, "image2.bmp": 17.8658},
            "costs": {"psnr": cost(0.02), "ssim": cost(0.2), "niqe": cost(0.1)},
        },
        {
            "rival": "other",
            "about": "its own",
            "psnr": 27.108,
            "ssim": 0.8106,
            "niqe": {"image1.bmp": None, "image2.bmp": None},
            "costs": {"psnr": cost(0.01), "ssim": cost(0.4)},
        },
    ]
}
NETWORKS = WHERE | {
    "rows": [
        {"file": "a", "rival": "spandrel, float32", "refused": "UnsupportedModelError"},
        {"file": "a", "rival": "fastsr, float32", "side": 64, "off": 0.0, "set5_psnr_y": 30.657, **cost(1.0, 90)},
        {"file": "b", "rival": "fastsr, float32", "side": 64, "off": 0.0, **cost(1.0, 90)},
        {"file": "b", "rival": "spandrel, float32", "side": 64, "off": 0.001, **cost(0.8, 60)},
        {"file": "b", "rival": "fastsr, bfloat16", "side": 64, "off": 4.0, **cost(0.5, 40)},
        {"file": "b", "rival": "spandrel, bfloat16", "side": 64, "off": 3.0, **cost(0.6, 50)},
    ]
}
DIP = WHERE | {
    "budget": 60.0,
    "side": 160,
    "bicubic": {"img_005": 22.0},
    "rows": [
        {"picture": "img_005", "rival": "fastsr, preset fast", "curve": [[1, 10], [19, 20], [50, 24]], "ended": 50.0}
        | {"peak_bytes": 3 * 2**20},
        {"picture": "img_005", "rival": "deepinv, ConvDecoder", "curve": [[1, 12], [15, 21], [59, 19]], "ended": None}
        | {"peak_bytes": 5 * 2**20},
    ],
}


def test_losses_are_said():
    table = tables.resize_table(RESIZE)
    assert "| 512 to 128 | torch, antialias | 4 | 2 to 8 | 0.50 | 1 |" in table
    assert "- OpenCV INTER_AREA: 4.0 (512 to 128)\n- Pillow BICUBIC, uint8: 2.0 (512 to 128)\n\n" in table
    assert "- torch" not in table
    assert "Left out, because a call would take more than 10 s: torch, antialias (up from 512), " in table
    assert "Not measured: kornia, antialias, ImportError: none." in table
    closest, second, *_ = tables.agreement_table(RESIZE).splitlines()[2:]
    assert closest.startswith("| fastsr, uint8 | 10 (1.00 %) | 4 | 0.50 % | 3 | no |")
    assert second.startswith("| resize-right |")
    assert "Closer than fastsr: resize-right." in tables.agreement_table(RESIZE)


def test_scores_stand_beside_what_is_published():
    table = tables.metrics_table(METRICS)
    ours = "| fastsr | BT.601 | 28.430 | +0.010 | 0.8111 | +0.0007 | 5.0290 / 17.8658 | -0.0001 | 20 | 200 | 100 | "
    assert ours in table
    assert "| other | its own | 27.108 | -1.312 | 0.8106 | +0.0002 |  |  | 10 | 400 |  | " in table
    assert "fastsr is slower, so many times, than\n\n- other: 2.0 (PSNR)\n\n" in table
    assert "Closer to the published SSIM than fastsr: other." in table


def test_networks_that_are_refused_and_those_that_are_faster_are_said():
    table = tables.networks_table(NETWORKS)
    assert "| a | spandrel, float32 | refused: UnsupportedModelError |" in table
    assert "| b | spandrel, float32 | 64x64 | 0.80 | 0.4 to 1.6 | 1.25 | 60 | 0.001 |  |" in table
    assert "- spandrel, float32: 1.25 (b, 64x64)\n" in table
    assert "fastsr takes more memory than spandrel, float32 (64x64, by 1.50)." in table
    assert "Less off than fastsr in the same precision: spandrel, bfloat16 (b, 3.000 to 4.000)." in table


def test_fits_are_compared_at_the_same_seconds():
    table = tables.dip_table(DIP)
    assert "| picture | | 10 s | 20 s | 40 s | 60 s | best | at, s | ended by itself, s | memory, MiB |" in table
    assert "| img_005 | fastsr, preset fast | 10.00 | 20.00 | 20.00 | 24.00 | 24.00 | 50 | 50 | 3 |" in table
    assert "| img_005 | deepinv, ConvDecoder | 12.00 | 21.00 | 21.00 | 19.00 | 21.00 | 15 |  | 5 |" in table
    assert "img_005: deepinv, ConvDecoder is ahead of fastsr at 10 s, 20 s, 40 s." in table


def test_a_busy_machine_is_said():
    assert "busy" not in tables.where(WHERE)
    assert "The machine was busy" in tables.where(WHERE | {"busy": True})
    assert "commit `0123456` with changes" in tables.where(WHERE | {"commit": "0123456789abcdef-dirty"})


def test_the_page_is_written_whole_and_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "peers.md"
    page.write_text((document.DOCS / "peers.md").read_text())
    parts = {"resize": RESIZE, "metrics": METRICS, "networks": NETWORKS, "dip": DIP}
    document.write({"packages": {"kornia": "0.9.0"}, "parts": parts}, tmp_path)
    text = page.read_text()
    assert "| kornia | 0.9.0 |" in text
    for table in (tables.resize_table(RESIZE), tables.agreement_table(RESIZE), tables.dip_table(DIP)):
        assert table in text
    assert "Some CPU, threads: 1, torch 2.13.0, commit `0123456`, 2026-11-22." in text
    for name in ("resize", "dip"):
        assert (tmp_path / "peers" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_holds_what_was_measured():
    report = json.loads((RESULTS / "peers.json").read_text())
    text = (document.DOCS / "peers.md").read_text()
    parts = report["parts"]
    assert set(parts) == {"resize", "metrics", "networks", "dip"}
    assert tables.packages_table(report["packages"]) in text
    made = {
        "resize": [tables.resize_table, tables.agreement_table],
        "metrics": [tables.metrics_table],
        "networks": [tables.networks_table],
        "dip": [tables.dip_table],
    }
    for name, functions in made.items():
        assert all(function(parts[name]) in text for function in functions)
        assert tables.where(parts[name]) in text

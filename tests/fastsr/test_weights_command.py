"""fastsr weights, as a user types it."""

from functools import partial

import pytest

from fastsr.cache import cache_folder, file_name
from fastsr.commands.weights import without_links
from fastsr.srgan.named import NAMED
from tests import command_line

LICENCE = "BSDS500: for research and education; T91: no licence is stated, and that is all that is known of it"


run = partial(command_line.run, "weights")


@pytest.fixture(autouse=True)
def weights(bundle, monkeypatch, tmp_path):
    scores = {"Set5 x4": {"PSNR": 30.93, "NIQE": 4.83}, "Set14 x4": {"PSNR": 27.7}, "a long name " * 4: {"A, %": 1}}
    bundle("ours-x4", "srgan", b"0" * 1_260_000, scores=scores, licence=LICENCE)
    bundle("faces-64", "pulse", factor=None, summary="For faces.")
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "cache"))


def test_the_list_has_every_name_and_fits_a_terminal():
    status, out, err = run()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split()[:4] == ["ours-x4", "srgan", "x4", "1.3"]
    text = " ".join(line[lines[0].index("what for") :] for line in lines[1 : lines.index("")])
    assert text.startswith("A test. Set5 x4: PSNR 30.93, NIQE 4.83; Set14 x4: PSNR 27.7; a long name a long")
    assert "a long name : A 1 %" in text
    assert LICENCE in text
    assert any(line.split() == ["faces-64", "*", "pulse", "any", "0.0", "For", "faces."] for line in lines)
    for name, entry in NAMED.items():
        assert any(line.split()[:3] == [name, entry.licence, "no"] for line in lines)


def test_the_name_of_a_method_lists_its_own():
    assert "ours-x4" in run("srgan")[1]
    assert "realesrgan-x4plus" in run("srgan")[1]
    lines = run("pulse")[1].splitlines()
    assert [line.split()[0] for line in lines] == ["with", "faces-64", "Set5", "data:", "*"]
    assert len(run("sr3")[1].splitlines()) == 2


def test_the_list_says_what_is_in_the_cache():
    cache_folder().mkdir()
    (cache_folder() / file_name(NAMED["realesrgan-x4plus"].address)).touch()
    lines = run()[1].splitlines()
    assert [line.split()[0] for line in lines if " yes " in line] == ["realesrgan-x4plus"]


def test_a_name_prints_its_card():
    assert run("ours-x4") == (0, "# ours-x4\n\n---\nText.\n", "")


def test_a_card_is_printed_without_links_and_marks():
    text = "A [net](../../docs/a.md#b), [x4](x4.md), [docs/b.md](../../docs/b.md).\n\n<!-- s -->\n\n[web](https://x.org/a.md)"
    assert without_links(text) == "A net (docs/a.md), x4, docs/b.md.\n\n[web](https://x.org/a.md)"


def test_a_name_on_the_web_prints_what_is_known():
    entry = NAMED["realesrgan-x2plus"]
    out = run("realesrgan-x2plus")[1]
    assert all(fact in out for fact in (entry.address, entry.sha256, entry.licence, entry.what))


def test_an_unknown_name_is_one_line_that_lists_all():
    known = ", ".join(["srgan", "sr3", "pulse", "ours-x4", "faces-64", *NAMED])
    assert run("nowhere") == (2, "", f"Error: NAME 'nowhere' is unknown; choose one of {known}\n")
    slip = f"Error: NAME 'Ours4x' is unknown (did you mean 'ours-x4'?); choose one of {known}\n"
    assert run("Ours4x") == (2, "", slip)


def test_deep_image_prior_has_none():
    assert run("dip")[2] == "Error: fastsr dip needs no weights: its network is fitted to each picture by itself\n"

"""fastsr weights, as a user types it."""

import pytest
from click.testing import CliRunner

from fastsr.cache import cache_folder, file_name
from fastsr.cli import main
from fastsr.srgan.named import NAMED

LICENCE = "BSDS500: for research and education; T91: no licence is stated, and that is all that is known of it"


def run(*arguments):
    result = CliRunner().invoke(main, ["weights", *arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def weights(bundle, monkeypatch, tmp_path):
    scores = {"Set5 x4": {"PSNR": 30.93, "SSIM": 0.8712}, "Set14 x4": {"PSNR": 27.7}, "a long name " * 4: {"A": 1}}
    bundle("ours-x4", "srgan", b"0" * 1_260_000, scores=scores, licence=LICENCE)
    bundle("faces", "pulse", factor=None)
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "cache"))


def test_the_list_has_every_name_and_fits_a_terminal():
    status, out, err = run()
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split()[:4] == ["ours-x4", "srgan", "x4", "1.3"]
    text = " ".join(line[lines[0].index("scores") :] for line in lines[1 : lines.index("")])
    assert text.startswith("Set5 x4: PSNR 30.93; Set14 x4: PSNR 27.7; a long name a long")
    assert LICENCE in text
    assert any(line.split()[:3] == ["faces", "pulse", "any"] for line in lines)
    for name, entry in NAMED.items():
        assert any(line.split()[:3] == [name, entry.licence, "no"] for line in lines)


def test_the_list_says_what_is_in_the_cache():
    cache_folder().mkdir()
    (cache_folder() / file_name(NAMED["realesrgan-x4plus"].address)).touch()
    lines = run()[1].splitlines()
    assert [line.split()[0] for line in lines if " yes " in line] == ["realesrgan-x4plus"]


def test_a_name_prints_its_card():
    assert run("ours-x4") == (0, "# ours-x4\n\n---\nText.\n", "")


def test_a_name_on_the_web_prints_what_is_known():
    entry = NAMED["realesrgan-x2plus"]
    out = run("realesrgan-x2plus")[1]
    assert all(fact in out for fact in (entry.address, entry.sha256, entry.licence, entry.what))


def test_an_unknown_name_is_one_line_that_lists_all():
    message = f"Error: name='nowhere' is unknown; choose one of {', '.join(['ours-x4', 'faces', *NAMED])}\n"
    assert run("nowhere") == (2, "", message)

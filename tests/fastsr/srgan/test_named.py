"""Names of published weights."""

import re

import pytest

from fastsr.checkpoints import sources
from fastsr.checksums import digest_of
from fastsr.errors import MissingFileError
from fastsr.srgan import formats
from fastsr.srgan.named import NAMED


@pytest.mark.parametrize("name", NAMED)
def test_a_name_is_an_address_with_a_hash(name, weights, monkeypatch):
    asked = []

    def fetch(address, path, *, checksum, what, progress):
        asked.append((address, checksum.digits))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(weights.read_bytes())

    monkeypatch.setattr(sources, "fetch", fetch)
    monkeypatch.setattr(sources, "file_name", lambda address: "a.safetensors")
    monkeypatch.setenv("FASTSR_CACHE", str(weights.parent / "cache"))
    assert formats.load(name).layout == "fastsr"
    assert asked == [(NAMED[name].address, NAMED[name].sha256)]
    assert re.fullmatch(r"https://\S+\.pth#sha256=[0-9a-f]{64}", NAMED[name].url)


def test_a_file_comes_before_a_name(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "realesrgan-x4plus").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        formats.load("realesrgan-x4plus")


def test_names_are_told_where_nothing_is_found():
    with pytest.raises(MissingFileError, match=r"'nowhere' is not there.* leftthomas-srgan-x4, realesrgan-x4plus, "):
        formats.load("nowhere")


def test_the_hash_is_that_of_the_file(data):
    assert digest_of(data / "weights" / "leftthomas-srgan-x4.pth", "sha256") == NAMED["leftthomas-srgan-x4"].sha256

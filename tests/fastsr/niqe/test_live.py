import hashlib

import pytest

from fastsr.checksums import Checksum
from fastsr.errors import InputError, MissingFileError
from fastsr.niqe import live
from fastsr.niqe.model import load

BODY = b"a model"
DOCS = "docs/niqe.md"


@pytest.fixture
def published(web, tmp_path, monkeypatch):
    """A web server that has a model, and no folder of data."""
    web.files["/model.mat"] = BODY
    monkeypatch.setattr(live, "ADDRESS", f"{web.address}/model.mat")
    monkeypatch.setattr(live, "CHECKSUM", Checksum("sha256", hashlib.sha256(BODY).hexdigest()))
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FASTSR_DATA", raising=False)
    return web


def test_the_model_is_downloaded_once_and_its_notice_kept_beside_it(published, tmp_path):
    for _ in range(2):
        path = live.live_path()
        assert path == tmp_path / "cache" / "niqe" / "modelparameters.mat"
        assert path.read_bytes() == BODY
        assert "Copyright (c) 2011 The University of Texas at Austin" in path.with_name("NOTICE.txt").read_text()
    assert len(published.asked) == 1


def test_another_file_is_refused(published):
    published.files["/model.mat"] = b"another"
    with pytest.raises(InputError, match=r"LIVE's model for NIQE, .* instead of"):
        live.live_path()
    published.files.clear()
    with pytest.raises(
        MissingFileError, match=r"right; or download it elsewhere, and copy it to '.*modelparameters.mat'"
    ):
        live.live_path()


def test_the_folder_of_data_comes_first(published, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path / "data"))
    path = tmp_path / "data" / "niqe" / "modelparameters.mat"
    path.parent.mkdir(parents=True)
    path.write_bytes(BODY)
    assert live.live_path() == path
    assert published.asked == []
    path.write_bytes(b"fitted on other pictures")
    with pytest.raises(InputError, match="is not LIVE's model: it has sha256"):
        load()


def test_the_docs_have_the_notice(request):
    notice = live.notice_text().partition("\n\n")[2].strip()
    assert notice.count("NOTICE") == 2
    assert notice in (request.config.rootpath / DOCS).read_text()

import hashlib
import io
import json
import subprocess
import sys
import threading
import time
import zipfile

import pytest

from fastsr.archives import Pick
from fastsr.checksums import Checksum
from fastsr.data import fetch
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.fetch import RECORD, get_set
from fastsr.data.sets import DataSet, Download
from fastsr.errors import InputError, MissingFileError, OutputError


def packed(files):
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, body in files.items():
            archive.writestr(name, body)
    return memory.getvalue()


def sha256(body):
    return Checksum("sha256", hashlib.sha256(body).hexdigest())


def entry(*downloads):
    return DataSet("Tiny", 2, downloads, "free", "none", "computed")


PICTURES = {f"image_SRF_2/img_00{i}_SRF_2_{kind}.png": bytes([i]) * 2000 for i in (1, 2) for kind in ("HR", "LR")}
HR = packed({f"top/Tiny_HR/000{i}.png": bytes([i]) * 20000 for i in (1, 2)})
LR = packed({f"top/Tiny_LR/X2/000{i}x2.png": bytes([i]) * 20000 for i in (1, 2)})


@pytest.fixture
def loose(web):
    """A set of pictures, and the web server that has them."""
    web.files.update({f"/{name}": body for name, body in PICTURES.items()})
    return entry(
        *(Download(f"{web.address}/{name}", sha256(body), len(body), path=name) for name, body in PICTURES.items())
    )


@pytest.fixture
def zipped(web):
    """A set of two archives, and the web server that has them."""
    web.files.update({"/hr.zip": HR, "/lr.zip": LR})
    return entry(
        Download(f"{web.address}/hr.zip", sha256(HR), len(HR), picks=(Pick("Tiny_HR", "HR", 2),)),
        Download(f"{web.address}/lr.zip", sha256(LR), len(LR), picks=(Pick("Tiny_LR/X2", "LR/X2", 2),)),
    )


@pytest.fixture(params=["loose", "zipped"])
def tiny(request):
    """A set of either kind."""
    return request.getfixturevalue(request.param)


def get(tiny, folder):
    lines: list[str] = []
    new = get_set(tiny, folder, progress=False, show=lines.append)
    assert [path.name for path in folder.iterdir()] == ["Tiny"]
    benchmark = find_benchmark(folder / "Tiny", 2)
    assert benchmark.name == "Tiny"
    assert [sample.lr is not None for sample in benchmark.samples] == [True, True]
    return new, lines


def test_a_set_is_downloaded_once(tiny, web, tmp_path):
    assert get(tiny, tmp_path) == (True, [])
    asked = len(web.asked)
    assert asked == len(tiny.downloads)
    assert get(tiny, tmp_path) == (False, [])
    assert len(web.asked) == asked


def test_the_record_says_where_it_came_from(zipped, tmp_path):
    get(zipped, tmp_path)
    record = json.loads((tmp_path / "Tiny" / RECORD).read_text())
    assert record["name"] == "Tiny"
    assert record["sources"][0] == {"address": zipped.downloads[0].address, "sha256": sha256(HR).digits}
    assert record["files"]["LR/X2/0001x2.png"] == 20000


def test_a_broken_connection_leaves_no_set_and_the_next_call_goes_on(tiny, web, tmp_path):
    path = tiny.downloads[-1].address.removeprefix(web.address)
    web.cuts[path] = 300
    with pytest.raises(MissingFileError, match=f"^data set Tiny: '.*{path}' cannot be downloaded: it ended after 300"):
        get_set(tiny, tmp_path, progress=False, show=print)
    assert [entry.name for entry in tmp_path.iterdir()] == [".Tiny.part"]
    assert get(tiny, tmp_path)[0]
    assert [wanted for _, wanted in web.asked] == [None] * len(tiny.downloads) + ["bytes=299-"]


def test_an_unpacking_that_is_interrupted_leaves_no_set(zipped, web, tmp_path, monkeypatch):
    unpack = fetch.unpack

    def interrupted(archive, folder, *arguments, **options):
        unpack(archive, folder, *arguments, **options)
        (folder / "HR" / "half.png").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetch, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            get_set(zipped, tmp_path, progress=False, show=print)
    assert not (tmp_path / "Tiny").exists()
    assert get(zipped, tmp_path)[0]
    assert len(web.asked) == 2


def test_a_killed_call_is_gone_on_from(zipped, web, tmp_path):
    web.stalls["/lr.zip"] = 30000
    code = (
        f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n"
        "from pathlib import Path\n"
        "from fastsr.archives import Pick\n"
        "from fastsr.checksums import Checksum\n"
        "from fastsr.data.fetch import get_set\n"
        "from fastsr.data.sets import DataSet, Download\n"
        f"get_set({zipped!r}, Path({str(tmp_path)!r}), progress=False, show=print)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 300
    while child.poll() is None and time.monotonic() < deadline:
        if any(path.stat().st_size for path in tmp_path.rglob("*-lr.zip.part")):
            break
        time.sleep(0.01)
    child.kill()
    child.wait()
    (partial,) = tmp_path.rglob("*-lr.zip.part")
    written = partial.stat().st_size
    assert not (tmp_path / "Tiny").exists()
    assert get(zipped, tmp_path)[0]
    assert web.asked[-1] == ("/lr.zip", f"bytes={written - 1}-")


def test_what_a_kill_at_the_end_leaves_is_cleared(zipped, tmp_path):
    get(zipped, tmp_path)
    (tmp_path / ".Tiny.part" / "archives").mkdir(parents=True)
    assert get(zipped, tmp_path)[0] is False


def test_a_wrong_hash_leaves_no_set(tiny, web, tmp_path):
    path = tiny.downloads[-1].address.removeprefix(web.address)
    web.files[path] = b"another"
    with pytest.raises(InputError, match=f"{path}' has sha256 .* instead of .*; it is not kept"):
        get_set(tiny, tmp_path, progress=False, show=print)
    assert not (tmp_path / "Tiny").exists()


def test_an_archive_of_something_else_is_not_kept(web, tmp_path):
    web.files["/hr.zip"] = HR
    other = entry(Download(f"{web.address}/hr.zip", sha256(HR), len(HR), picks=(Pick("Tiny_HR", "", 3),)))
    with pytest.raises(InputError, match="holds 2 pictures in 'Tiny_HR' instead of 3"):
        get_set(other, tmp_path, progress=False, show=print)
    assert list(tmp_path.rglob("*.zip")) == []


def test_without_a_sha256_it_is_told(web, tmp_path):
    web.files["/hr.zip"] = HR
    known = Checksum("md5", hashlib.md5(HR).hexdigest())
    plain = entry(Download(f"{web.address}/hr.zip", known, len(HR), picks=(Pick("Tiny_HR", "", 2),)))
    lines: list[str] = []
    assert get_set(plain, tmp_path, progress=False, show=lines.append)
    digits = sha256(HR).digits
    assert lines == [
        f"Tiny: no sha256 is known of {web.address}/hr.zip; its md5 is as published. "
        f"Its sha256 is {digits}: check it, or have it checked with Tiny#sha256={digits}"
    ]


def test_a_folder_of_somebody_else_is_left_alone(tiny, web, tmp_path):
    (tmp_path / "Tiny").mkdir()
    (tmp_path / "Tiny" / "mine.png").touch()
    with pytest.raises(OutputError, match="Tiny' is there already, and not from `fastsr data get`; remove it"):
        get_set(tiny, tmp_path, progress=False, show=print)
    assert [path.name for path in (tmp_path / "Tiny").iterdir()] == ["mine.png"]
    assert web.asked == []


def test_a_set_that_lost_a_picture_is_told(tiny, tmp_path):
    get(tiny, tmp_path)
    next((tmp_path / "Tiny").rglob("*.png")).write_bytes(b"other")
    with pytest.raises(OutputError, match=r"Tiny' is no longer whole: '.*png' is missing or changed; remove"):
        get_set(tiny, tmp_path, progress=False, show=print)


@pytest.mark.parametrize("record", ['{"name": "Tiny"}', '{"files": 3}', "[1]", "no JSON"])
def test_a_record_of_somebody_else_is_none(record, tiny, web, tmp_path):
    (tmp_path / "Tiny").mkdir()
    (tmp_path / "Tiny" / RECORD).write_text(record)
    with pytest.raises(OutputError, match="Tiny' is there already, and not from `fastsr data get`; remove it"):
        get_set(tiny, tmp_path, progress=False, show=print)
    assert web.asked == []


def test_two_calls_at_once_make_one_set(tiny, web, tmp_path):
    news = []
    threads = [
        threading.Thread(target=lambda: news.append(get_set(tiny, tmp_path, progress=False, show=print)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(news) == [False, False, False, True]
    assert len(web.asked) == len(tiny.downloads)


def test_a_folder_that_cannot_be_written_is_told(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is not writable"):
        get_set(tiny, tmp_path / "file", progress=False, show=print)

import errno
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse

import pytest

from fastsr import downloads
from fastsr.checksums import Checksum, split_hash
from fastsr.downloads import fetch
from fastsr.errors import InputError, MissingFileError, OutputError

BODY = bytes(range(256)) * 4000
SHA256 = Checksum("sha256", hashlib.sha256(BODY).hexdigest())


@pytest.fixture
def get(web, tmp_path):
    """A function that fetches BODY, and the path that it is fetched to."""
    web.files["/a.zip"] = BODY

    def call(checksum=SHA256, name="/a.zip", alone=True):
        fetch(web.address + name, call.path, checksum=checksum, what="'a.zip'", progress=False)
        assert not alone or left(call) == [call.path.name]
        return call.path.read_bytes()

    call.path = tmp_path / "folder" / "a.zip"
    return call


def left(get):
    return sorted(path.name for path in get.path.parent.iterdir())


def cut_off(get, web, after=1000, **arguments):
    web.cuts["/a.zip"] = after
    with pytest.raises(MissingFileError, match=f"'a.zip' cannot be downloaded: it ended after {after} of") as caught:
        get(**arguments)
    return str(caught.value)


def test_a_file_is_downloaded_once(get, web):
    assert get() == BODY
    assert get() == BODY
    assert web.asked == [("/a.zip", None)]


def test_other_digests_are_checked_too(get):
    assert get(Checksum("md5", hashlib.md5(BODY).hexdigest())) == BODY


@pytest.mark.parametrize("checksum", [SHA256, None])
def test_a_broken_download_goes_on(get, web, checksum):
    message = cut_off(get, web, checksum=checksum)
    assert message.endswith("try again: it goes on after the 1000 bytes that are here")
    assert left(get) == ["a.zip.part", "a.zip.part.version"]
    assert get(checksum) == BODY
    assert web.asked == [("/a.zip", None), ("/a.zip", "bytes=999-")]


def test_it_goes_on_as_often_as_needed(get, web):
    for after in (1, 2, 1000, len(BODY) - 1):
        cut_off(get, web, after)
    assert get() == BODY


def test_what_was_whole_when_it_stopped_is_not_downloaded_again(get, web):
    cut_off(get, web)
    (get.path.parent / "a.zip.part").write_bytes(BODY)
    assert get() == BODY
    assert web.asked[-1] == ("/a.zip", f"bytes={len(BODY) - 1}-")


def test_a_server_without_ranges_begins_anew(get, web):
    web.ranges = False
    cut_off(get, web)
    assert get() == BODY


@pytest.mark.parametrize("size", [len(BODY), 500])
def test_two_versions_are_never_one_file(get, web, size):
    cut_off(get, web, checksum=None)
    web.version, web.files["/a.zip"] = '"2"', bytes(size)
    assert get(None) == bytes(size)


def test_a_file_without_a_version_goes_on_where_it_is_checked(get, web):
    web.version = None
    cut_off(get, web)
    assert get() == BODY
    assert web.asked[-1] == ("/a.zip", "bytes=999-")


def test_a_file_that_became_shorter_begins_anew(get, web):
    web.version = None
    cut_off(get, web)
    web.files["/a.zip"] = BODY[:500]
    assert get(Checksum("sha256", hashlib.sha256(BODY[:500]).hexdigest())) == BODY[:500]


def test_a_file_without_version_and_checksum_begins_anew(get, web):
    web.version = None
    assert cut_off(get, web, checksum=None).endswith("; try again")
    assert left(get) == []
    assert get(None) == BODY
    assert web.asked[-1] == ("/a.zip", None)


def test_a_wrong_part_is_not_used(get, web, monkeypatch):
    cut_off(get, web)
    answer = web.answer

    def shifted(request):
        if request.headers.get("Range"):
            request.headers.replace_header("Range", "bytes=5-")
        answer(request)

    monkeypatch.setattr(web, "answer", shifted)
    assert get() == BODY


def test_a_wrong_hash_is_told_and_nothing_kept(get, web):
    web.files["/a.zip"] = b"another"
    found = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(InputError, match=f"^'a.zip' has sha256 {found} instead of {SHA256.digits}; it is not kept$"):
        get()
    assert left(get) == []


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, "Not Found; the server answers 404: look whether the address is still right"),
        (503, "Service Unavailable; try again"),
        (429, "Too Many Requests; try again"),
    ],
)
def test_a_server_that_refuses(get, web, code, message):
    web.codes["/a.zip"] = code
    with pytest.raises(MissingFileError, match=f"^'a.zip' cannot be downloaded: {message}$"):
        get()
    assert left(get) == []


def test_a_server_that_fails_later_costs_nothing(get, web):
    cut_off(get, web)
    web.codes["/a.zip"] = 503
    with pytest.raises(MissingFileError, match="try again: it goes on after the 1000 bytes that are here"):
        get()
    web.codes.clear()
    assert get() == BODY
    assert web.asked[-1] == ("/a.zip", "bytes=999-")


def test_no_connection(get, web):
    web.server.shutdown()
    web.server.socket.close()
    with pytest.raises(MissingFileError, match=r"cannot be downloaded: .*refused; try again$"):
        get()


def test_a_server_that_falls_silent(get, web, monkeypatch):
    monkeypatch.setattr(downloads, "SECONDS_OF_SILENCE", 0.2)
    web.stalls["/a.zip"] = len(BODY) // 2
    with pytest.raises(MissingFileError, match=r"cannot be downloaded: .*timed out; try again: it goes on after"):
        get()
    assert get() == BODY


@pytest.mark.parametrize("code", [errno.EHOSTUNREACH, errno.ENETUNREACH])
def test_a_network_that_goes_away(code, get, web, monkeypatch):
    real, chunks = HTTPResponse.read1, []

    def read1(response, size):
        if chunks:
            raise OSError(code, os.strerror(code))
        chunks.append(real(response, 1000))
        return chunks[0]

    with monkeypatch.context() as patched:
        patched.setattr(HTTPResponse, "read1", read1)
        message = f"cannot be downloaded: .*{os.strerror(code)}; try again: it goes on after the 1000 bytes"
        with pytest.raises(MissingFileError, match=message):
            get()
    assert get() == BODY
    assert web.asked[-1] == ("/a.zip", "bytes=999-")


def test_a_network_that_is_not_there(get, monkeypatch):
    def answer(*arguments):
        raise OSError(errno.EHOSTUNREACH, "No route to host")

    monkeypatch.setattr(HTTPConnection, "getresponse", answer)
    with pytest.raises(MissingFileError, match=r"cannot be downloaded: .*No route to host; try again$"):
        get()


def test_a_full_disk(get, monkeypatch):
    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "open", full, raising=False)
    with pytest.raises(OutputError, match=r"a\.zip' cannot be written: No space left on device"):
        get()


def test_of_two_at_once_one_downloads(get, web):
    web.stalls["/a.zip"] = 1000

    with ThreadPoolExecutor(4) as threads:
        first = threads.submit(get, alone=False)
        deadline = time.monotonic() + 60
        while not web.asked and time.monotonic() < deadline:
            time.sleep(0.01)
        others = [threads.submit(get, alone=False) for _ in range(3)]
        time.sleep(0.1)
        asked = len(web.asked)
        web.released.set()
    assert asked == 1
    assert isinstance(first.exception(), MissingFileError)
    assert [each.result() for each in others] == [BODY] * 3
    assert left(get) == ["a.zip"]
    assert [wanted for _, wanted in web.asked] == [None, "bytes=999-"]


def test_a_killed_download_goes_on(get, web):
    web.stalls["/a.zip"] = 10**6
    code = (
        f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n"
        "from pathlib import Path\n"
        "from fastsr.downloads import fetch\n"
        f"fetch({web.address + '/a.zip'!r}, Path({str(get.path)!r}), checksum=None, what='a', progress=False)"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    partial = get.path.parent / "a.zip.part"
    deadline = time.monotonic() + 300
    while child.poll() is None and not (partial.is_file() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.kill()
    child.wait()
    written = partial.stat().st_size
    assert not get.path.exists()
    assert get() == BODY
    assert web.asked[-1][1] == f"bytes={written - 1}-"


def test_a_file_that_is_there_is_checked(get):
    get()
    get.path.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"a\.zip' has sha256 .* instead of .*; delete it to download it anew"):
        get()


def test_hashes_in_arguments():
    assert split_hash("a", "x") == ("a", None)
    assert split_hash(f"a#sha256={SHA256.digits.upper()}", "x") == ("a", SHA256)
    with pytest.raises(InputError, match="x ends in no hash; write #sha256= and 64"):
        split_hash("a#sha256=12", "x")

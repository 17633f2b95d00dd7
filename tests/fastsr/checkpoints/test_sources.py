import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fastsr.cache import cache_folder
from fastsr.checkpoints.sources import locate
from fastsr.errors import InputError, InputTypeError, MissingFileError, OutputError

BODY = bytes(range(256)) * 40
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A web server on this machine: its address, and the paths that it was asked for; the cache is empty."""
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "cache"))
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/missing"):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(BODY)))
            self.end_headers()
            self.wfile.write(BODY[:1000] if self.path.startswith("/cut") else BODY)

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = asked
        running.address = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def kept() -> list[Path]:
    return sorted(cache_folder().iterdir()) if cache_folder().is_dir() else []


def test_a_path_is_the_file(tmp_path):
    (tmp_path / "a.pth").touch()
    assert locate(tmp_path / "a.pth") == tmp_path / "a.pth"
    assert locate(str(tmp_path / "a.pth")) == tmp_path / "a.pth"


def test_paths_that_are_no_files_are_refused(tmp_path):
    with pytest.raises(
        MissingFileError, match=r"weights='nowhere' is not there; give the path of a checkpoint .* URL$"
    ):
        locate("nowhere")
    with pytest.raises(InputError, match="is a folder"):
        locate(tmp_path)
    with pytest.raises(InputTypeError, match="weights is a int; give a path, a name or a URL"):
        locate(4)


NAMED = {"published": "http://127.0.0.1:0/published.pth"}


def test_a_name_is_that_of_the_file_that_comes_along(bundle, monkeypatch, tmp_path):
    path = bundle("ours-x4", "srgan")
    assert locate("ours-x4", "srgan", {"ours-x4": "https://example.org/other.pth"}) == path
    assert locate("ours-x4") == path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ours-x4").touch()
    assert locate("ours-x4", "sr3") == Path("ours-x4")


def test_names_are_told_where_nothing_is_found(bundle):
    bundle("ours-x4", "srgan")
    bundle("ours-faces", "sr3")
    message = r"'a.pth' is not there; .* a name that `fastsr weights` lists: ours-x4, published$"
    with pytest.raises(MissingFileError, match=message):
        locate("a.pth", "srgan", NAMED)


def test_a_slip_is_told_of_names_that_the_method_takes(bundle):
    bundle("ours-x4", "srgan")
    bundle("ours-faces", "sr3")
    for given, meant in (("Ours4x", "ours-x4"), ("publishd", "published")):
        with pytest.raises(
            MissingFileError, match=rf"weights='{given}' is not there \(did you mean '{meant}'\?\); give"
        ):
            locate(given, "srgan", NAMED)
    with pytest.raises(MissingFileError, match="'our-faces' is not there; give"):
        locate("our-faces", "srgan", {})


@pytest.mark.parametrize(("weights", "what"), [("published", "'published', the file {url},"), ("{url}", "'{url}'")])
def test_what_cannot_be_downloaded_keeps_its_name_and_what_there_is_without_a_connection_is_told(
    weights, what, server, bundle
):
    bundle("ours-x4", "srgan")
    bundle("ours-faces", "sr3")
    url = f"{server.address}/missing.pth"
    with pytest.raises(MissingFileError) as caught:
        locate(weights.format(url=url), "srgan", {"published": url})
    assert str(caught.value).startswith(f"weights={what.format(url=url)} cannot be downloaded: ")
    assert str(caught.value).endswith("; without a connection there are ours-x4")


@pytest.mark.parametrize(("own", "there"), [(["b", "a"], "a, b, published"), ([], "published")])
def test_the_name_of_another_method_s_weights_says_whose_they_are(own, there, bundle):
    bundle("faces", "pulse")
    for name in own:
        bundle(name, "srgan")
    with pytest.raises(InputError, match=f"'faces' is for fastsr.pulse; for fastsr.srgan there are {there}$"):
        locate("faces", "srgan", NAMED)


def test_a_url_is_downloaded_once(server):
    path = locate(f"{server.address}/models/srgan%20x4.pth?raw=1")
    assert path.read_bytes() == BODY
    assert path.parent == cache_folder()
    assert path.name.endswith("-srgan_x4.pth")
    assert locate(f"{server.address}/models/srgan%20x4.pth?raw=1") == path
    assert server.asked == ["/models/srgan%20x4.pth?raw=1"]
    assert kept() == [path]


def test_files_of_one_name_are_kept_apart(server):
    assert locate(f"{server.address}/a/x.pth") != locate(f"{server.address}/b/x.pth")


def test_the_hash_is_checked(server):
    path = locate(f"{server.address}/x.pth#sha256={DIGEST.upper()}")
    assert path.read_bytes() == BODY
    assert server.asked == ["/x.pth"]
    assert locate(f"{server.address}/x.pth#sha256={DIGEST}") == path
    path.write_bytes(b"changed")
    with pytest.raises(InputError, match=r"instead of .*; delete it to download it anew"):
        locate(f"{server.address}/x.pth#sha256={DIGEST}")


def test_a_download_with_another_hash_is_not_kept(server):
    with pytest.raises(InputError, match=f"has sha256 {DIGEST} instead of {'0' * 64}; it is not kept"):
        locate(f"{server.address}/x.pth#sha256={'0' * 64}")
    assert kept() == []


def test_a_wrong_fragment_is_refused_before_the_download(server):
    with pytest.raises(InputError, match="ends in no hash; write #sha256="):
        locate(f"{server.address}/x.pth#sha256=123")
    assert server.asked == []


def test_a_download_that_is_cut_short_is_not_kept(server):
    with pytest.raises(MissingFileError, match=f"cannot be downloaded: it ended after 1000 of {len(BODY)} bytes"):
        locate(f"{server.address}/cut.pth")
    assert kept() == []


def test_what_cannot_be_downloaded_is_an_error(server):
    with pytest.raises(MissingFileError, match=r"missing\.pth' cannot be downloaded: Not Found"):
        locate(f"{server.address}/missing.pth")
    server.shutdown()
    server.socket.close()
    with pytest.raises(MissingFileError, match=r"cannot be downloaded: .*refused"):
        locate(f"{server.address}/x.pth")
    assert kept() == []


def test_a_url_that_makes_no_sense_is_an_error(server):
    with pytest.raises(MissingFileError, match="cannot be downloaded"):
        locate("http://")


def test_a_cache_that_cannot_be_written_is_an_error(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="is not writable"):
        locate(f"{server.address}/x.pth")

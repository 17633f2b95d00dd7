import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from fastsr import pretrained
from fastsr.domain import fit


@pytest.fixture
def save_noise() -> Callable[..., Path]:
    """A function that saves a smooth random image of a height and a width."""

    def save(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(height * width).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path)
        return path

    return save


class Web:
    """A web server on this machine.

    Attributes:
        files: what is at each path.
        asked: the path and the Range header of every request.
        cuts: after how many bytes the next answer for a path ends; `stalls`, after how many it hangs.
        codes: the status that a path is answered with.
        ranges: whether Range is obeyed.
        version: the ETag of all files; None for none.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.cuts: dict[str, int] = {}
        self.stalls: dict[str, int] = {}
        self.codes: dict[str, int] = {}
        self.ranges = True
        self.version: str | None = '"1"'
        self.released = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        wanted = request.headers.get("Range")
        self.asked.append((request.path, wanted))
        code = self.codes.get(request.path, 200 if request.path in self.files else 404)
        if code != 200:
            request.send_error(code)
            return
        body = self.files[request.path]
        begin = 0
        if wanted and self.ranges and request.headers.get("If-Range") in (None, self.version):
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if begin >= len(body) > 0:
            request.send_error(416)
            return
        request.send_response(206 if begin else 200)
        if begin:
            request.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
        if self.version:
            request.send_header("ETag", self.version)
        request.send_header("Content-Length", str(len(body) - begin))
        request.end_headers()
        stall = self.stalls.pop(request.path, None)
        end = self.cuts.pop(request.path, len(body)) if stall is None else stall
        request.wfile.write(body[begin:end])
        if stall is not None:
            self.released.wait(60)


@pytest.fixture
def web() -> Iterator[Web]:
    """A web server that can cut off its answers."""
    running = Web()
    with running.server:
        thread = threading.Thread(target=running.server.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.released.set()
        running.server.shutdown()
        thread.join()


@pytest.fixture
def pictures(tmp_path: Path, save_noise: Callable[..., Path]) -> Path:
    """A folder of a few small training pictures."""
    for index in range(4):
        save_noise(tmp_path / "pictures" / f"{index}.png", 40 + index, 50)
    return tmp_path / "pictures"


class Runs:
    """What folders of training hold."""

    def lines(self, folder: Path) -> list[dict[str, Any]]:
        """Return the log."""
        return [json.loads(line) for line in (folder / "losses.jsonl").read_text().splitlines()]

    def state(self, folder: Path) -> dict[str, Any]:
        """Return the last checkpoint."""
        return torch.load(folder / "checkpoints" / "last.pt", weights_only=True)

    def assert_same(self, one: Path, other: Path) -> None:
        """Compare two runs: every line of the log and every tensor of the last checkpoint, to the last bit."""
        assert (one / "losses.jsonl").read_bytes() == (other / "losses.jsonl").read_bytes()
        kept = ("step", "modules", "optimizers", "best", "looked")
        states = [{name: self.state(folder)[name] for name in kept} for folder in (one, other)]
        torch.testing.assert_close(*states, rtol=0, atol=0)


@pytest.fixture
def runs() -> Runs:
    """What folders of training hold."""
    return Runs()


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A function that puts weights, with a card, where those that come with fastsr are looked for; others are not."""
    folder = tmp_path / "pretrained"
    folder.mkdir()
    monkeypatch.setattr(pretrained, "FOLDER", folder)

    def add(name: str, method: str, weights: bytes = b"", **facts: object) -> Path:
        path = folder / f"{name}.safetensors"
        path.write_bytes(weights)
        facts = {
            "name": name,
            "method": method,
            "summary": "A test.",
            "pictures": "photographs",
            "factor": 4,
            "parameters": 2,
            "sha256": hashlib.sha256(weights).hexdigest(),
            "data": ["T91", "BSDS500"],
            "licence": "Free for research.",
            "scores": {"Set5 x4": {"PSNR": 30.93, "SSIM": 0.87}},
            **facts,
        }
        path.with_suffix(".md").write_text(f"---\n{json.dumps(facts, indent=1)}\n---\n\n# {name}\n\n---\nText.\n")
        return path

    return add


@pytest.fixture(params=[torch.float64, torch.bfloat16], ids=str)
def other_default(request: pytest.FixtureRequest) -> Callable[[], AbstractContextManager[None]]:
    """A function that sets a default dtype other than float32 for a while."""

    @contextmanager
    def changed() -> Iterator[None]:
        torch.set_default_dtype(request.param)
        try:
            yield
        finally:
            torch.set_default_dtype(torch.float32)

    return changed


class Kind:
    """Pictures of 8x8 that are all alike, and others.

    Attributes:
        domain: what the former look like, by some that have numbers of 1000 and more.
    """

    def __init__(self) -> None:
        self.domain = fit(self.known(number) for number in range(1000, 1150))

    def known(self, number: int) -> Tensor:
        """Return one of the kind, (3, 8, 8)."""
        return 0.3 + 0.4 * self.other(-1) + 0.04 * (self.other(number) - 0.5)

    def other(self, number: int) -> Tensor:
        """Return one of none, (3, 8, 8)."""
        return torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(1 + number))


@pytest.fixture(scope="session")
def kind() -> Kind:
    """Pictures that are all alike, and others."""
    return Kind()


@pytest.fixture
def fresh_accelerate():
    """`accelerate` keeps the precision of a process for its life; the tests of one share it."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)

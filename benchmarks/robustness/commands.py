"""Every command that works for long, at a small size, and what it must have made in the end."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from benchmarks.robustness.checkpoint_seeds import seeds
from fastsr.archives import Pick
from fastsr.checksums import Checksum
from fastsr.data.sets import DataSet, Download

PICTURES = 6
SIDE = 48
SECONDS = re.compile(r",[0-9.e-]+$", re.MULTILINE)
"""The last column of an evaluation's table: what a picture took."""
TRANSIENT = (".tmp", ".lock", ".part", ".version")
CHUNK = 2**14
NAMES = """
from fastsr.archives import Pick
from fastsr.checksums import Checksum
from fastsr.data import sets
from fastsr.data.sets import DataSet, Download
"""


@dataclass(frozen=True)
class Work:
    """A command.

    Attributes:
        words: of the command line, without -o.
        alike: whether two undisturbed runs make the same files; else only the names of them are compared.
        before: Python that is run before the command.
    """

    words: tuple[str, ...]
    alike: bool = True
    before: str = ""


def works(folder: Path, address: str) -> dict[str, Work]:
    """Make what the commands need in `folder`, and return them by name; `address` is that of `server`."""
    pictures, small, least = folder / "pictures", folder / "small", folder / "least"
    for target, side in ((pictures, SIDE), (small, 8), (least, 4)):
        target.mkdir(parents=True)
        for index in range(PICTURES):
            _picture(index, side).save(target / f"{index}.png")
    weights = {}
    for name, written in seeds(folder / "trap").items():
        if name in ("srresnet.safetensors", "unet.safetensors", "stylegan.safetensors"):
            weights[name] = str(folder / name)
            (folder / name).write_bytes(written)
    entry = tiny_set(address)
    cpu, data = ("--device", "cpu"), ("--data", str(pictures))
    often = ("--batch", "2", "--workers", "1", "--log-every", "1", "--save-every", "2", "--sample-every", "5")
    sr3 = "--factor 4 --crop 16 --width 8 --multipliers 1 --blocks 1 --groups 4 --steps 12 --val-steps 2"
    stylegan = "--resolution 8 --latent 8 --mapping-layers 2 --fmap-base 32 --fmap-max 8 --steps 12"
    srgan = "--blocks 1 --width 8 --crop 16 --mse-steps 8 --gan-steps 4 --content mse"
    to_128 = ("--size", "8,32")
    return {
        "train srgan": Work(("train", "srgan", *data, *cpu, *often, *srgan.split())),
        "train sr3": Work(("train", "sr3", *data, *cpu, *often, *sr3.split())),
        "train stylegan": Work(("train", "stylegan", *data, *cpu, *often, *stylegan.split())),
        "evaluate dip": Work(("evaluate", "dip", *data, *cpu, "--steps", "3")),
        "prepare": Work(("prepare", str(pictures), "--sr")),
        "prepare --lmdb": Work(("prepare", str(pictures), "--lmdb")),
        "prepare --size --lmdb": Work(("prepare", str(pictures), "--lmdb", *to_128)),
        "data get": Work(("data", "get", "Tiny"), before=f"{NAMES}sets.SETS = ({entry!r},)\n"),
        "dip": Work(("dip", str(small), *cpu, "--steps", "5", "--compare")),
        "srgan": Work(("srgan", str(pictures), *cpu, "--factor", "2", "--weights", weights["srresnet.safetensors"])),
        "sr3": Work(("sr3", str(small), *cpu, "--weights", weights["unet.safetensors"], "--steps", "4")),
        "pulse": Work(("pulse", str(least), *cpu, "--weights", weights["stylegan.safetensors"], "--steps", "5")),
    }


def tiny_set(address: str) -> DataSet:
    """Return a data set of one archive and one picture of the server."""
    packed, single = archive(), _png(_picture(0, SIDE))
    downloads = (
        Download(f"{address}/tiny.zip", _checksum(packed), len(packed), picks=(Pick("HR", "HR", PICTURES),)),
        Download(f"{address}/single.zip", _checksum(_zip({"LR/0.png": single})), 0, picks=(Pick("LR", "LR", 1),)),
    )
    return DataSet("Tiny", PICTURES, downloads, "terms", "paper", "origin")


def archive() -> bytes:
    """Return a zip file of noise, which takes some time to send."""
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 256, (256, 256, 3), np.uint8)) for _ in range(PICTURES)]
    return _zip({f"HR/{index}.png": _png(image) for index, image in enumerate(noise)})


@contextmanager
def server(pause: float = 0.01) -> Iterator[str]:
    """Run a web server on this machine that knows ranges and takes its time, and yield its address."""
    files = {"/tiny.zip": archive(), "/single.zip": _zip({"LR/0.png": _png(_picture(0, SIDE))})}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body, wanted = files[self.path], self.headers.get("Range")
            begin = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {begin}-{len(body) - 1}/{len(body)}")
            self.send_header("ETag", '"1"')
            self.send_header("Content-Length", str(len(body) - begin))
            self.end_headers()
            try:
                for start in range(begin, len(body), CHUNK):
                    self.wfile.write(body[start : start + CHUNK])
                    time.sleep(pause)
            except OSError:
                pass  # who asked was killed

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def half_written(folder: Path) -> list[str]:
    """Return the files under final names that cannot be read to their ends, and why."""
    found = []
    for path in files_in(folder):
        if path.name.startswith(".") or path.name.endswith(TRANSIENT) or ".part" in str(path.relative_to(folder)):
            continue
        try:
            READERS.get(path.suffix, Path.read_bytes)(path)
        except Exception as error:
            found.append(f"{path.relative_to(folder)}: {error!r}")
    return found


def left_over(folder: Path) -> list[str]:
    """Return what commands make for themselves while they work."""
    return [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.name.endswith(TRANSIENT)]


def contents(folder: Path) -> dict[str, Any]:
    """Return what is in the files of a result, by their names, so that the same results are equal."""
    return {str(path.relative_to(folder)): CONTENTS.get(path.suffix, _digest)(path) for path in files_in(folder)}


def files_in(folder: Path) -> list[Path]:
    """Return the files below a folder."""
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _picture(seed: int, side: int) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC)


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(name), data)
    return made.getvalue()


def _checksum(data: bytes) -> Checksum:
    return Checksum("sha256", hashlib.sha256(data).hexdigest())


def _read_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def _read_log(path: Path) -> None:
    """Read a log; of a line that was being written the next run takes away what there is."""
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            json.loads(line)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _state(path: Path) -> str:
    """Return digits that are others for other tensors or numbers in a checkpoint, whatever the bytes of the file."""
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        if isinstance(value, dict):
            for key in value:
                digest.update(str(key).encode())
                add(value[key])
        elif isinstance(value, (list, tuple)):
            for one in value:
                add(one)
        else:
            digest.update(value.numpy().tobytes() if isinstance(value, torch.Tensor) else str(value).encode())

    add(torch.load(path, weights_only=True))
    return digest.hexdigest()


def _database(path: Path) -> Any:
    """Return the values in a database, without the numbers that they have there: they are in the order of the work."""
    import lmdb

    with lmdb.open(str(path.parent), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return sorted(hashlib.sha256(bytes(value)).hexdigest() for _, value in transaction.cursor())


def _without_seconds(path: Path) -> Any:
    return SECONDS.sub("", path.read_text())


def _row(path: Path) -> Any:
    return {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}


READERS: dict[str, Callable[[Path], Any]] = {
    ".png": _read_picture,
    ".json": lambda path: json.loads(path.read_text()),
    ".jsonl": _read_log,
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".safetensors": load_file,
    ".mdb": _database,
}
"""By suffix, what reads a file to its end."""
CONTENTS: dict[str, Callable[[Path], Any]] = {
    ".pt": _state,
    ".mdb": _database,
    ".csv": _without_seconds,
    ".json": _row,
    ".html": lambda path: None,  # it has the seconds too
}
"""By suffix, what there is to compare where that is not the bytes."""

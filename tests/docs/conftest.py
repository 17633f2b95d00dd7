"""What a reader of the documentation has at hand: a folder of a few small pictures, and weights by other names."""

from __future__ import annotations

import shutil
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut, chelsea

import fastsr
from fastsr import align, pretrained
from fastsr.dip import arguments as dip
from fastsr.dip import tasks
from fastsr.niqe import model
from fastsr.pulse import arguments as pulse
from fastsr.sr3 import arguments as sr3

FACE = align.Face(align.Landmarks((203, 101), (246, 104), (204, 141), (244, 141)))
"""The astronaut's."""


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder, which is copied for each page."""
    folder = tmp_path_factory.mktemp("pictures")
    person, cat = astronaut(), chelsea()
    random = np.random.default_rng(0)
    photo = person[28:220, 128:320]
    small = fastsr.resize(photo, 1 / 4)
    mask = np.zeros(small.shape[:2], np.uint8)
    mask[10:12, 4:44] = 255
    face = align.align(person, FACE, 64)
    kept = {
        "photo.png": small,
        "original.png": photo,
        "large.png": fastsr.resize(small, 4),
        "noisy.png": np.clip(small + random.normal(0, 25, small.shape), 0, 255).astype(np.uint8),
        "old.png": small,
        "scratches.png": mask,
        "vase.png": small,
        "hole.png": mask,
        "face.png": fastsr.resize(face, 1 / 8),
        "face_8x8.png": fastsr.resize(face, 1 / 8),
        "party.jpg": fastsr.resize(person, 1 / 2),
        "photos/cat.png": cat[100:132, 100:140],
        "photos/person.png": small,
        "faces/a.png": face,
        "results/a.png": fastsr.resize(photo, 1.5),
        "originals/a.png": fastsr.resize(photo, 1.5),
        "DIV2K_train_HR/0001.png": cat[:120, :130],
        "DIV2K_train_HR/0002.png": person[:120, :130],
        "Set5/baby.png": person[60:124, 160:224],
    }
    for name, values in kept.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        fastsr.save(values, path)
    for name, weights in (
        ("sr3.safetensors", "sr3-faces-x8"),
        ("stylegan.safetensors", "faces-64"),
        ("srgan_x4.safetensors", "srgan-x4"),
    ):
        (folder / name).symlink_to(pretrained.path_of(weights))
    nothing = model.PristineModel(torch.zeros(36).double(), torch.eye(36).double(), "my.safetensors", "nothing")
    model.save(nothing, folder / "my.safetensors")
    return folder


@pytest.fixture
def desk(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: None) -> Path:
    """A copy of the folder, where the code of one page runs; long work is short in it, and there is no network."""
    desk = tmp_path / "desk"
    shutil.copytree(pictures, desk, symlinks=True)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("FASTSR_CACHE", str(tmp_path / "cache"))
    _shorten(monkeypatch)
    return desk


def _shorten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what takes minutes, or comes from the web, take no time. Everything else runs as the page says."""

    # A fit, a drawing or a search has tens or hundreds of steps; that they are made is not what a page has to show.
    choose, plan, settings = dip.choose, sr3.plan, pulse.Settings
    for module in (dip, tasks):
        monkeypatch.setattr(module, "choose", lambda *args, **options: replace(choose(*args, **options), steps=2))
    monkeypatch.setattr(sr3, "plan", lambda *args: plan(*args[:-1], steps=min(args[-1], 4)))
    monkeypatch.setattr(pulse, "Settings", lambda steps, *args: settings(min(steps, 3), *args))
    # The detector of faces and LIVE's model for NIQE are downloaded when they are first used.
    monkeypatch.setattr(align, "find_faces", lambda img: [FACE.scaled(1 / 2)])
    monkeypatch.setattr(model, "live_path", lambda: Path("my.safetensors"))
    monkeypatch.setattr(socket, "create_connection", _refuse)


def _refuse(address: object, *_: Any, **__: Any) -> None:
    raise AssertionError(f"the page connects to {address}")

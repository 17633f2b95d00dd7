"""Errors and warnings of commands: one line, which writes arguments as options and names value and remedy."""

import re

import click
import numpy as np
import pytest
from PIL import Image

from fastsr.checks import input_error, spell, spell_call, spelled_by
from fastsr.cli import main
from fastsr.commands.common import CommandSpelling, renamed
from fastsr.errors import InputError
from tests.command_line import error_of, run

PYTHON = re.compile(r"(?<![#\w/.])[a-z]\w*=")
"""An argument as in Python. A URL may end in #sha256=..."""


@pytest.fixture
def spelled():
    """Return what a function returns while a command, such as "evaluate srgan", runs."""

    def call(command, function):
        context, found = None, main
        for name in ("fastsr", *command.split()):
            found = found if context is None else found.get_command(context, name)
            context = click.Context(found, context, name)
        with context, spelled_by(CommandSpelling(found)):
            return function()

    return call


@pytest.mark.parametrize(
    ("command", "name", "value", "words"),
    [
        ("resize", "scale", 0.5, "--scale 0.5"),
        ("resize", "scale", None, "--scale"),
        ("resize", "size", (5, 7), "--size 5 7"),
        ("srgan", "factor", 1e-05, "--factor 1e-05"),
        ("srgan", "factor", 4.0, "--factor 4"),
        ("srgan", "weights", "a/b.pth", "--weights a/b.pth"),
        ("srgan", "weights", "it's mine.pth", "--weights 'it'\"'\"'s mine.pth'"),
        ("sr3", "sampler", "dpm-solver++", "--sampler dpm-solver++"),
        ("pulse", "batch", 0, "--batch-size 0"),
        ("pulse", "tile_latent", True, "--tile-latent"),
        ("pulse", "tile_latent", False, "--no-tile-latent"),
        ("pulse", "align", False, "no --align"),
        ("dip", "consistency", False, "--no-consistency"),
        ("dip", "IN", "factor=3.png", "IN 'factor=3.png'"),
        ("compare", "pictures[1]", "a.png", "IN 'a.png'"),
        ("plot", "run", "runs/a", "RUN 'runs/a'"),
        ("prepare", "factors", (2, 4), "--factor 2 --factor 4"),
        ("evaluate srgan", "tile", 5, "--tile 5"),
        ("train sr3", "schedule_steps", 0, "--schedule-steps 0"),
    ],
)
def test_arguments_are_written_as_options(command, name, value, words, spelled):
    assert spelled(command, lambda: spell(name, value)) == words
    assert spelled(command, lambda: str(input_error(name, value, "is bad", "give 2"))) == f"{words} is bad; give 2"


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("resize", {"size": (8, 8)}, "`fastsr resize IN --size 8 8`"),
        ("srgan", {}, "`fastsr srgan`"),
        ("load", {"max_pixels": 5}, "fastsr.load(img, max_pixels=5)"),
    ],
)
def test_functions_are_written_as_commands(function, arguments, words, spelled):
    assert spelled("sr3", lambda: spell_call(function, **arguments)) == words


def test_arguments_have_the_names_of_the_command(spelled):
    def message():
        with renamed(channel="niqe_channel"):
            return spell("channel", "y"), spell("shave", 2)

    assert spelled("metrics", message) == ("--niqe-channel y", "--shave 2")


BAD_INPUT = [
    # The arguments of a command, and what its message has: the option and its value, then the remedy.
    ("dip {photo} --factor 1", "--factor 1 does not upscale", "give a finite number above 1, such as 4"),
    ("dip {photo} --steps 0", "--steps 0 is too few", "give a whole number of at least 1"),
    ("dip {photo} --sigma 25", "--sigma 25 is for --task denoise, not for --task upscale", ""),
    ("dip {photo} --task denoise --sigma 0.1", "--sigma 0.1 is out of range", "from 0.5 to 255, such as 25"),
    ("dip {photo} --task inpaint", "--mask is missing, but --task inpaint needs one", "white where to fill in"),
    ("dip {photo} --task denoise --consistency", "--consistency would bring the noise back", "leave it out"),
    ("dip {photo} --task inpaint --mask {masks}", "--mask {masks} has no image named 'photo'", "it needs one"),
    ("srgan {photo} --factor 1", "--factor 1 does not upscale", "give a number above 1, such as 4"),
    ("srgan {photo} --factor 8", "--factor 8 is more than", "give at most 4, or other weights"),
    ("srgan {photo} --tile 3", "--tile 3 is too small", "give a whole number of at least 16"),
    ("sr3 {photo} --factor 2", "--factor 2 is not the factor that", "give --factor 8, or leave it out"),
    ("sr3 {photo} --steps 1", "--steps 1 is too few", "whole number from 2 to 10000 with --sampler dpm-solver++"),
    ("sr3 {photo} --samples 0", "--samples 0 is too few", "give a whole number from 1 to 1000"),
    ("sr3 {photo} --tile 3", "--tile 3 cannot be used", "give a multiple of"),
    ("sr3 {photo} --mean", "--mean and --spread need several results", "give --samples 2 or more"),
    ("pulse {photo} --eps 0", "--eps 0 is out of range", "such as 0.002"),
    ("pulse {photo} --batch-size 0", "--batch-size 0 is out of range", "give a whole number of at least 1"),
    ("pulse {photo} --learning-rate -1", "--learning-rate -1 is out of range", "give a number above 0"),
    ("pulse {photo} --trainable-noise -1", "--trainable-noise -1 is out of range", "of at least 0"),
    ("pulse {photo}", "only square images", "let `fastsr pulse --align` find the face"),
    ("pulse {square} --factor 2", "--factor 2 upscales 16 pixels to 32", "give --factor 4, or leave it out"),
    ("pulse {large}", "must be smaller than the 64x64", "`fastsr resize IN --size 8 8` makes a smaller one"),
    ("pulse {square} --side 8", "--side 8 needs --align", "give --align too"),
    ("pulse {square} --align --paste 0", "--paste 0 cannot be used", "such as 4"),
    ("metrics {photo}", "B is missing", "give B, or --niqe"),
    ("metrics {photo} --niqe-channel y", "--niqe-channel need --niqe", "give it too"),
    ("metrics {masks} {photo}", "A has ", "has no image of that name"),
    ("niqe-fit {masks} -o model.json", "--output model.json does not end in .safetensors", "give"),
    ("prepare {photo} -o {out} --size 16", "", ""),
    ("prepare {photo} -o {out} --size large", "--size large is not two sides in pixels", "such as 16,128"),
    ("plot {out} -o curves.txt", "--output curves.txt has an unknown suffix", "give one of .png, .svg, .pdf"),
    ("weights srgan-x5", "NAME 'srgan-x5' is unknown (did you mean", "choose one of"),
    ("evaluate bicubic --data {masks} --factor 2 --images nothing*", "", ""),
]
# After the merge of the rooms that these depend on (runtime, images, io, figures, data, training): "--seed -1",
# "--device gpu", "--dtype", "--scale 0", "--size 5 0", "--scale and --size", "--crop", "--zoom", "--title", "IN",
# "--data", "--weights", "--loss", "--shave", "--max-pixels", and the settings of `fastsr train`.


@pytest.fixture
def places(tmp_path, monkeypatch):
    for name, size in (("photo", (12, 10)), ("square", (16, 16)), ("large", (80, 80))):
        pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "masks").mkdir()
    Image.new("L", (12, 10)).save(tmp_path / "masks" / "other.png")
    monkeypatch.chdir(tmp_path)
    return {"photo": "photo.png", "square": "square.png", "large": "large.png", "masks": "masks", "out": "out"}


@pytest.mark.parametrize(("command", "problem", "remedy"), BAD_INPUT)
def test_errors_are_one_line_about_options(command, problem, remedy, places):
    line = error_of(*command.format(**places).split())
    if problem:  # a message of this room
        assert problem.format(**places) in line
        assert remedy in line
        line = line.replace("weights='", "--weights '")  # of checkpoints/sources.py, until that is merged
        assert not PYTHON.search(line)


@pytest.mark.parametrize(
    ("command", "choices"),
    [
        ("dip photo.png --task denoize", "'upscale', 'denoise', 'inpaint', 'restore'"),
        ("dip photo.png --preset best", "'fast', 'paper'"),
        ("srgan photo.png --dtype int8", "'float32', 'bfloat16'"),
        ("sr3 photo.png --sampler euler", "'dpm-solver++', 'ddim', 'ddpm'"),
        ("sr3 photo.png --spacing linear", "'log-snr', 'time', 'karras'"),
        ("pulse photo.png --optimizer lion", "'adam', 'adamw', 'adamax', 'sgd'"),
        ("pulse photo.png --schedule cosine", "'linear1cycledrop', 'linear1cycle', 'fixed'"),
        ("pulse photo.png --noise some", "'zero', 'fixed', 'trainable'"),
        ("resize photo.png --kernel nearest", "'bicubic', 'lanczos2', 'lanczos3', 'linear', 'box'"),
        ("resize photo.png --border zero", "'symmetric', 'replicate', 'reflect'"),
        ("metrics a.png b.png --channel red", "'y', 'rgb'"),
        ("metrics a.png b.png --protocol rgb16", "'rgb8', 'matlab8', 'float'"),
        ("metrics a.png --niqe --niqe-channel rgb", "'grey', 'y'"),
        ("evaluate bicubic --data Set5 --protocol float", "'rgb8', 'colour8', 'matlab8', 'dip'"),
        ("evaluate dip --data Set5 --preset best", "'fast', 'paper'"),
    ],
)
def test_unknown_choices_are_refused_with_those_there_are(command, choices):
    *words, option, value = command.split()
    status, out, err = run(*words, option, value)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1] == f"Error: Invalid value for '{option}': {value!r} is not one of {choices}."


def test_an_error_is_raised_as_in_python_outside_of_commands():
    error = input_error("factor", 1, "is too little")
    assert isinstance(error, InputError)
    assert str(error) == "factor=1 is too little"

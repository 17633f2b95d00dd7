"""Messages of functions in the words of the command line."""

import click
import pytest

from fastsr.cli import main
from fastsr.commands.words import renamed, spoken
from fastsr.errors import InputError


def said(message, *names):
    """What a command says in place of a message."""
    context, command = None, main
    for name in ("fastsr", *names):
        command = command if context is None else command.get_command(context, name)
        context = click.Context(command, context, name)
    with context:
        return spoken(message)


@pytest.mark.parametrize(
    ("command", "message", "words"),
    [
        ("resize", "scale=0.5 and size=(5, 7): give one of the two", "--scale 0.5 and --size 5 7: give one of the two"),
        ("srgan", "factor=1e-05 is too little; give factor=2.", "--factor 1e-05 is too little; give --factor 2."),
        ("srgan", "weights='a/b.pth' is not there", "--weights a/b.pth is not there"),
        ("srgan", "weights='it\\'s mine.pth' is", "--weights 'it\\'s mine.pth' is"),
        ("pulse", "batch=0 and tile_latent=True", "--batch-size 0 and --tile-latent"),
        ("pulse", "seed=None with tile_latent=False", "no --seed with no --tile-latent"),
        ("dip", "consistency=False or consistency=True", "--no-consistency or --consistency"),
        ("srgan", "'factor=3.png' is no picture, factor= is none, nor is path='b.png' or sampler='ddim'", None),
        ("sr3", "fastsr.resize(img, size=(8, 8)) makes it", "`fastsr resize IN --size 8 8` makes it"),
        ("sr3", "is for fastsr.pulse; or fastsr.srgan.", "is for `fastsr pulse`; or `fastsr srgan`."),
        ("sr3", "fastsr.images.read(path, max_pixels=...) or fastsr.sr3.formats.load or fastsr.srgan(x)", None),
        ("evaluate srgan", "data='x' has no tile=5", "--data x has no --tile 5"),
        ("train sr3", "schedule_steps=0 is too few", "--schedule-steps 0 is too few"),
    ],
)
def test_arguments_become_options_and_functions_commands(command, message, words):
    assert said(message, *command.split()) == (message if words is None else words)


def test_outside_a_command_a_message_stays():
    assert spoken("scale=2 for fastsr.resize") == "scale=2 for fastsr.resize"


def test_arguments_are_renamed_but_not_in_paths():
    expected = r"^niqe_model='model=1.json' is damaged; give submodel=2, or channel='y'$"
    with pytest.raises(InputError, match=expected), renamed(model="niqe_model"):
        raise InputError("model='model=1.json' is damaged; give submodel=2, or channel='y'")

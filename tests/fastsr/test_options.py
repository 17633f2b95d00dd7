"""Options as dataclasses: those of commands, and those of the methods, which are the arguments of the functions."""

import inspect
from dataclasses import dataclass, field, fields
from typing import Literal, Optional, get_args

import click
import pytest
from click.testing import CliRunner

import fastsr
from fastsr.cli import main
from fastsr.dip.options import DipOptions, Preset, Task
from fastsr.dip.recipes import TASKS
from fastsr.imresize import BORDERS, KERNELS
from fastsr.metrics.reference import CHANNELS, PROTOCOLS, Channel, Protocol
from fastsr.options import command_options, from_command, option, subset
from fastsr.pulse.losses import parse
from fastsr.pulse.options import LOSS, Noise, Optimizer, PulseOptions, Schedule
from fastsr.pulse.search import OPTIMIZERS, SCHEDULES
from fastsr.pulse.targets import NOISES
from fastsr.runtime.device import DTYPES
from fastsr.sr3.options import Keywords, Sampler, Spacing, SR3Options
from fastsr.sr3.sampling import SAMPLERS, SPACINGS
from fastsr.srgan.options import SRGANOptions
from fastsr.typing import Border, DTypeName, Kernel

METHODS = {"dip": DipOptions, "srgan": SRGANOptions, "sr3": SR3Options, "pulse": PulseOptions}
NOT_OPTIONS = {"img", "progress", "callback"}


@dataclass(frozen=True)
class Options:
    weights: str = field(metadata={"help": "Which weights."})
    steps: int | None = option(None, "How many.")
    rate: float = option(0.5, "How fast.")
    keep_size: bool = option(True, "Whether to.")
    dtype: Optional[str] = option("float32", "Which.")  # noqa: UP045
    kernel: Literal["box", "cubic"] | None = option(None, "Which filter.")
    size: object = option(8, "How large.", kind=int, flag="--side", metavar="PIXELS")
    folders: tuple[str, ...] = option((), "Where from.")
    function: object = None


def run(*arguments):
    seen = []
    other = click.Option(["--other"])
    command = click.Command(
        "c", params=[other, *command_options(Options)], callback=lambda **values: seen.append(values)
    )
    result = CliRunner().invoke(command, arguments)
    return result, [from_command(Options, values) for values in seen]


def test_defaults_come_from_the_dataclass():
    result, seen = run("--weights", "a.pth")
    assert result.exit_code == 0
    assert seen == [Options(weights="a.pth")]


def test_values_have_the_types_of_the_fields():
    _, seen = run(
        "--weights",
        "1",
        "--steps",
        "7",
        "--rate",
        "2",
        "--no-keep-size",
        "--dtype",
        "bfloat16",
        "--kernel",
        "box",
        "--side",
        "4",
        "--other",
        "x",
        "--folders",
        "a",
        "--folders",
        "b c",
    )
    assert seen == [Options("1", 7, 2.0, False, "bfloat16", "box", 4, ("a", "b c"))]
    assert [type(value) for value in vars(seen[0]).values()][:-1] == [str, int, float, bool, str, str, int, tuple]


def test_help_shows_texts_and_defaults():
    result, _ = run("--help")
    for text in (
        "Which weights.  [required]",
        "How many.\n",
        "How fast.  [default: 0.5]",
        "[default: keep-size]",
        "--kernel [box|cubic]",
        "--side PIXELS",
        "Where from.  [required]\n",
    ):
        assert text in result.output
    assert "--function" not in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "Missing option '--weights'"),
        (("--weights", "a", "--steps", "few"), "'few' is not a valid integer"),
        (("--weights", "a", "--kernel", "nearest"), "'nearest' is not one of 'box', 'cubic'"),
    ],
)
def test_bad_values_are_usage_errors(arguments, message):
    result, seen = run(*arguments)
    assert (result.exit_code, seen) == (2, [])
    assert message in result.output


def test_other_types_are_refused():
    @dataclass
    class Wrong:
        pair: tuple[int, int] = option((1, 2), "Two.")

    @dataclass
    class Both:
        value: int | str = option(1, "One.")

    for options, name in ((Wrong, "pair"), (Both, "value")):
        with pytest.raises(TypeError, match=f"option '{name}' has the type .*; use int, float, str, bool or a Literal"):
            command_options(options)


def test_a_subset_has_the_fields_and_the_texts_given():
    part = subset(Options, ["steps", "kernel"], kernel="Another one.")
    assert part(kernel="box") == part(None, "box")
    assert [(each.name, each.metadata["help"]) for each in fields(part)] == [
        ("steps", "How many."),
        ("kernel", "Another one."),
    ]
    assert (part.__name__, part.__module__) == ("Options", __name__)


@pytest.mark.parametrize("name", METHODS)
def test_options_of_a_method_are_the_arguments_of_its_function(name):
    parameters = inspect.signature(getattr(fastsr, name)).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in NOT_OPTIONS}
    assert {each.name: each.default for each in fields(METHODS[name])} == defaults


@pytest.mark.parametrize("name", METHODS)
def test_every_option_of_a_method_is_one_of_its_command(name):
    params = {param.name for param in main.commands[name].params}
    assert {each.name for each in fields(METHODS[name])} - {"operator"} <= params


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (Task, TASKS),
        (Preset, ("fast", "paper")),
        (Kernel, KERNELS),
        (Border, BORDERS),
        (DTypeName, DTYPES),
        (Sampler, SAMPLERS),
        (Spacing, SPACINGS),
        (Optimizer, OPTIMIZERS),
        (Schedule, SCHEDULES),
        (Noise, NOISES),
        (Channel, CHANNELS),
        (Protocol, PROTOCOLS),
    ],
)
def test_types_list_the_names_that_are_taken(names, table):
    assert set(get_args(names)) == set(table)


def test_the_default_loss_can_be_parsed():
    assert parse(LOSS) == parse(PulseOptions().loss)


def test_the_types_of_sr3_s_keywords_are_those_of_its_signature():
    parameters = inspect.signature(fastsr.sr3).parameters
    expected = {
        name: parameter.annotation for name, parameter in parameters.items() if name not in ("img", "factor", "samples")
    }
    assert {name: one.__forward_arg__ for name, one in Keywords.__annotations__.items()} == expected


@pytest.mark.parametrize("command", ["dip", "sr3", "evaluate pulse", "resize", "metrics"])
def test_shells_complete_choices(command):
    group, *rest = command.split()
    found = main.commands[group]
    for name in rest:
        found = found.get_command(click.Context(found), name)
    choices = [param.type for param in found.params if isinstance(param.type, click.Choice)]
    assert len(choices) > 1

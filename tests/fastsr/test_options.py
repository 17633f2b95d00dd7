from dataclasses import dataclass, field
from typing import Optional

import click
import pytest
from click.testing import CliRunner

from fastsr.options import command_options, from_command


def option(default, text):
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True)
class Options:
    weights: str = field(metadata={"help": "Which weights."})
    steps: int | None = option(None, "How many.")
    rate: float = option(0.5, "How fast.")
    keep_size: bool = option(True, "Whether to.")
    dtype: Optional[str] = option("float32", "Which.")  # noqa: UP045
    folders: tuple[str, ...] = option((), "Where from.")


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
        "--other",
        "x",
        "--folders",
        "a",
        "--folders",
        "b c",
    )
    assert seen == [Options("1", 7, 2.0, False, "bfloat16", ("a", "b c"))]
    assert [type(value) for value in vars(seen[0]).values()] == [str, int, float, bool, str, tuple]


def test_help_shows_texts_and_defaults():
    result, _ = run("--help")
    for text in (
        "Which weights.  [required]",
        "How many.\n",
        "How fast.  [default: 0.5]",
        "[default: keep-size]",
        "Where from.  [required]\n",
    ):
        assert text in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((), "Missing option '--weights'"), (("--weights", "a", "--steps", "few"), "'few' is not a valid integer")],
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
        with pytest.raises(TypeError, match=f"option '{name}' has the type .*; use int, float, str or bool"):
            command_options(options)

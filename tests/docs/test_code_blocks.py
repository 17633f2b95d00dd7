"""The code of the documentation: each page's Python runs from top to bottom, and the command line takes its commands.

A page's blocks share one namespace, in which `fastsr` is imported, and one folder, that of `desk`. A ``text`` block
right behind a Python block is what that block prints. Two comments, which no reader sees, are about the next block:

    <!-- skip: next "why it cannot run" -->
    <!-- run: next -->   the commands are run, not only parsed
"""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
from collections.abc import Iterable
from contextlib import redirect_stdout
from pathlib import Path
from unittest import SkipTest

import click
import pytest
from sybil import Document, Example, Region
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer

import fastsr
from fastsr.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "kernels/README.md", "fastsr/pretrained/*.md")
    for path in ROOT.glob(pattern)
)
SKIPPED = {
    "docs/pulse.md": ["needs the file of lernapparat"],
}
"""The blocks that do not run, and why."""
CHECKED = ("python", "sh", "console")
UNCHECKED = ("", "text", "yaml", "bibtex", "json", "toml")
"""Languages of blocks; another one is a slip, by which a block would go unchecked."""
FOREIGN = ("cd", "git", "pytest", "download_ffhq.py")
"""Programs of others."""


class Page:
    """One page, and what is checked of it.

    Attributes:
        skipped: why blocks were not run.
    """

    def __init__(self, path: str):
        self.skipped: list[str] = []
        self._printed: tuple[int, str] | None = None
        self._run = False
        self._document = Document.parse(
            str(ROOT / path),
            CodeBlockParser("python", self._python),
            CodeBlockParser("text", self._text),
            CodeBlockParser("sh", self._shell),
            CodeBlockParser("console", self._console),
            self._run_marks,
            SkipParser(),
        )
        self._document.namespace["fastsr"] = fastsr

    def check(self) -> None:
        """Run the Python of the page and check its commands, from top to bottom."""
        for example in self._document.examples():
            try:
                example.evaluate()
            except SkipTest as reason:
                self.skipped.append(str(reason))

    def _python(self, example: Example) -> None:
        output = io.StringIO()
        with redirect_stdout(output):
            PythonEvaluator()(example)
        self._printed = example.region.end, output.getvalue()

    def _text(self, example: Example) -> None:
        """Compare with what was printed, where the block is right behind one of Python."""
        if self._printed and not self._document.text[self._printed[0] : example.region.start].strip():
            assert self._printed[1] == example.parsed

    def _run_marks(self, document: Document) -> Iterable[Region]:
        for found in DirectiveInHTMLCommentLexer("run", "next")(document):
            yield Region(found.start, found.end, None, self._mark)

    def _mark(self, _: Example) -> None:
        self._run = True

    def _shell(self, example: Example) -> None:
        run, self._run = self._run, False
        for line in example.parsed.replace("\\\n", " ").splitlines():
            _command(shlex.split(line, comments=True), run)

    def _console(self, example: Example) -> None:
        """Check the lines behind a prompt; the others are what was printed."""
        for line in example.parsed.splitlines():
            if line.startswith("$ "):
                _command(shlex.split(line[2:], comments=True), run=False)


def _command(words: list[str], run: bool) -> None:
    """Check one command: that there is such a program, module or target, and what fastsr makes of its arguments."""
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return
    program, *rest = words
    if program in ("torchrun", "accelerate"):
        program, rest = "python", rest[rest.index("-m") :]
    if program in ("python", ".venv/bin/python"):
        program, rest = (rest[1], rest[2:]) if rest[0] == "-m" else (rest[0], rest[1:])
    if program == "fastsr":
        _fastsr(rest, run)
    elif program == "pip":
        _pip(rest)
    elif program == "make":
        assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in rest)
    elif program.startswith("benchmarks"):
        assert importlib.util.find_spec(program), f"there is no {program}"
    else:
        assert program in FOREIGN, f"{program} is not known"


def _fastsr(arguments: list[str], run: bool) -> None:
    """Parse the arguments of a command, or run it.

    Raises:
        click.UsageError: it has no such option, or not such a value.
    """
    with pytest.MonkeyPatch.context() as patch:
        if not run:
            patch.setattr(click.Command, "invoke", lambda self, context: None)
        try:
            with redirect_stdout(io.StringIO()):
                status = main.main(arguments, prog_name="fastsr", standalone_mode=False)
        except click.exceptions.Exit as end:
            status = end.exit_code
    assert not status, f"fastsr {shlex.join(arguments)} ended with {status}"


def _pip(arguments: list[str]) -> None:
    """Check that the extras are those of pyproject.toml."""
    tables = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].partition("\n[")[0]
    known = re.findall(r"^(\w+) = \[", tables, re.MULTILINE)
    for argument in arguments:
        _, bracket, names = argument.partition("[")
        if bracket:
            assert set(names.rstrip("]").split(",")) <= set(known), f"{argument}: the extras are {', '.join(known)}"


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.usefixtures("desk")
@pytest.mark.filterwarnings("ignore::fastsr.errors.DomainWarning")
@pytest.mark.filterwarnings("ignore:.*has no Gaussian fit:RuntimeWarning")
def test_the_code_of_the_page_runs(path: str) -> None:
    page = Page(path)
    page.check()
    assert page.skipped == SKIPPED.get(path, [])


@pytest.mark.parametrize("path", PAGES)
def test_every_block_says_what_it_is(path: str) -> None:
    fences = re.findall(r"^ *```+(.*)$", (ROOT / path).read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert set(fences[::2]) <= {*CHECKED, *UNCHECKED}


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("```python\nfastsr.resize('photo.png', scales=2)\n```", TypeError),
        ("```python\nprint(1)\n```\n\n```text\n2\n```", AssertionError),
        ("```sh\nfastsr dip photo.png --factors 4\n```", click.NoSuchOption),
        ("```sh\nfastsr evaluate dips --data Set5\n```", click.UsageError),
        ("```console\n$ fastsr resize photo.png\nphoto.png\n$ fastsr resise photo.png\n```", click.UsageError),
        ("<!-- run: next -->\n\n```sh\nfastsr resize nothing.png --scale 2\n```", AssertionError),
        ("```sh\npip install 'fastsr[align,everything]'\n```", AssertionError),
        ("```sh\nFASTSR_DATA=... python -m benchmarks.nothing  # at all\n```", AssertionError),
        ("```sh\nmake everything\n```", AssertionError),
    ],
)
def test_a_page_that_is_wrong_is_found(text: str, error: type[Exception], tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(text + "\n")
    with pytest.raises(error):
        Page(str(tmp_path / "page.md")).check()

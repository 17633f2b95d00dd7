"""The version is in one place, `fastsr.__version__`, and what repeats it agrees."""

import re
from pathlib import Path

import fastsr

ROOT = Path(__file__).parents[1]


def test_what_names_the_version_agrees_with_it():
    named = {
        "CITATION.cff": r"^version: (\S+)$",
        "CHANGELOG.md": r"^## (\S+)",  # the newest
    }
    found = {name: re.search(at, (ROOT / name).read_text("utf-8"), re.M) for name, at in named.items()}
    assert {name: match and match[1] for name, match in found.items()} == dict.fromkeys(named, fastsr.__version__)
    assert 'attr = "fastsr.__version__"' in (ROOT / "pyproject.toml").read_text("utf-8")

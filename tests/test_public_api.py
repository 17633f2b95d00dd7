"""The public interface is what it was, unless somebody says that it changed."""

import difflib

from tests import public_api

CHANGED = """The public interface changed:

{}
Where that is meant: say so in CHANGELOG.md, keep the old name working as docs/stability.md asks, and write the new
snapshot by `make public-api`."""


def test_nothing_public_changes_unnoticed():
    before = public_api.SNAPSHOT.read_text("utf-8").splitlines()
    now = public_api.public_api().splitlines()
    changes = "\n".join(difflib.unified_diff(before, now, "before", "now", lineterm="", n=3))
    assert not changes, CHANGED.format(changes)

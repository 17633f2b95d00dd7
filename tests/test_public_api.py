"""The public interface is what it was, unless somebody says that it changed."""

import difflib
from types import ModuleType

import fastsr
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


def test_every_public_name_is_in_the_reference():
    documented = [id(value) for value in public_api.public_names().values()]
    values = {name: getattr(fastsr, name) for name in fastsr.__all__}
    assert [
        name for name, value in values.items() if id(value) not in documented and not isinstance(value, ModuleType)
    ] == []

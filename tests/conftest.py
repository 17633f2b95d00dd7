import os
from pathlib import Path

import pytest

from fastsr import methods


@pytest.fixture(scope="session")
def data():
    """The folder of benchmark pictures; the test is skipped where there is none."""
    folder = os.environ.get("FASTSR_DATA")
    if not folder:
        pytest.skip("FASTSR_DATA names no folder of benchmark pictures")
    return Path(folder)


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    for name in methods.BUILT_IN:
        methods.find(name)  # a module registers when it is imported, which happens once
    monkeypatch.setattr(methods, "_registered", dict(methods._registered))

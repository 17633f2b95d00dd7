import pytest

from fastsr import methods


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    for name in methods.BUILT_IN:
        methods.find(name)  # a module registers when it is imported, which happens once
    monkeypatch.setattr(methods, "_registered", dict(methods._registered))

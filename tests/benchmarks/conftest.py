import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[ModuleType], None]]:
    """A function that lets a benchmark's processes be this one: each would take seconds to import torch.

    Each has values of its own for what the module holds, and is given and returns what can be pickled.
    """
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # set by a process for itself
    before: dict[ModuleType, dict[str, Any]] = {}

    def replace(module: ModuleType) -> None:
        class Here:
            def __init__(self, workers: int, context: object, initializer: Callable[..., None], initargs: tuple):
                pickle.loads(pickle.dumps(initializer))(*pickle.loads(pickle.dumps(initargs)))
                self.values = dict(vars(module))

            def __enter__(self) -> "Here":
                return self

            def __exit__(self, *exception: object) -> None:
                pass

            def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
                vars(module).update(self.values)
                done: Future[Any] = Future()
                done.set_result(pickle.loads(pickle.dumps(function))(*pickle.loads(pickle.dumps(arguments))))
                return done

        monkeypatch.setattr(module, "ProcessPoolExecutor", Here)
        before[module] = dict(vars(module))

    yield replace
    for module, values in before.items():
        vars(module).clear()
        vars(module).update(values)

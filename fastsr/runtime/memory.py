"""How much memory a backward pass needs, found by asking autograd what it keeps."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import NotEnoughMemoryError


def saved_for_backward(forward: Callable[[], Tensor], own: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Return the bytes that autograd saves when `forward` is called, and those of the largest tensor among them.

    Args:
        forward: what is called, once; gradients are recorded.
        own: tensors that are there already, weights for one.
    """
    there = {tensor.untyped_storage().data_ptr() for tensor in own}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in there:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = forward()
    del output  # what was saved lives until here, so that no two tensors had one address
    return sum(kept.values()), max(kept.values(), default=0)


# Names and values of <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
NEVER = -1
# The usual settings, with the thresholds to which glibc itself moves once large blocks have been freed.
USUAL = {M_MMAP_MAX: 65536, M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 64 * 2**20, M_TOP_PAD: 128 * 2**10}

_keeping: list[object] = []
"""One for each block that is being run."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep what it frees, and give it back at the end.

    A step of a fit on the CPU allocates and frees every activation. By default glibc maps each of them anew, and the
    system clears it page by page. Does nothing where there is no glibc. The setting is that of the process: other
    threads allocate likewise meanwhile. Of several at a time the last one to end gives back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    mallopt(M_TOP_PAD, 64 * 2**20)
    token = object()
    _keeping.append(token)
    try:
        yield
    finally:
        _keeping.remove(token)
        if not _keeping:
            for setting, value in USUAL.items():
                mallopt(setting, value)
            ctypes.CDLL(None).malloc_trim(0)


GROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class Names:
    """What the files of a group are called, and the line of memory.stat that has the page cache to be dropped first."""

    limit: str
    used: str
    dropped: str


# In version 1 no limit is a number that is larger than any memory.
V1 = Names("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = Names("memory.max", "memory.current", "inactive_file")


def memory_left(groups: Path = GROUPS, own: Path = OWN) -> int | None:
    """Return how many bytes this process can still get; None where no group limits it, or there are none.

    Args:
        groups: where the file systems of the groups are mounted.
        own: the file that says which groups the process is in.
    """
    left = [_left(folder, names) for folder, names in _folders(groups, own)]
    return min((number for number in left if number is not None), default=None)


def _folders(groups: Path, own: Path) -> Iterator[tuple[Path, Names]]:
    """Yield the group of the process in each version, and all above it, whose limits hold for it as well.

    In a container the file may give the path on the host, and the container's own group is what is mounted: the last
    of those above.
    """
    try:
        lines = own.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = os.fsdecode(line).split(":", 2)
        if "memory" in controllers.split(","):
            mount, names = groups / "memory", V1
        elif number == "0":
            mount, names = groups, V2
        else:
            continue
        parts = Path(path).parts[1:]
        for depth in range(len(parts), -1, -1):
            yield mount.joinpath(*parts[:depth]), names


def _left(folder: Path, names: Names) -> int | None:
    """Return what a group leaves; its use counts page cache, of which the kernel drops what is inactive for others."""
    try:
        limit = (folder / names.limit).read_text().strip()
        if limit == "max":
            return None
        used = int((folder / names.used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    dropped = dict(line.split() for line in lines).get(names.dropped, 0)
    return max(int(limit) - used + int(dropped), 0)


def available_memory(device: torch.device) -> int | None:
    """Bytes that an allocation on `device` can still get; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    found = (_unused_memory(), memory_left())
    return min((number for number in found if number is not None), default=None)


def _unused_memory() -> int | None:
    """Bytes that nothing on this machine uses; in a container it is the host's."""
    try:
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            fields = dict(line.split(":", 1) for line in meminfo)
    except OSError:
        return None
    return int(fields["MemAvailable"].split()[0]) * 1024


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse work that cannot fit, before it starts.

    Raises:
        NotEnoughMemoryError: `needed` bytes are more than `device` has left.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise NotEnoughMemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB and {device} has {available / 2**30:.1f} GiB left; "
            "make it smaller"
        )

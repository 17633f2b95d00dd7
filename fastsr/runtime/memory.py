"""Memory: how much a device has left, how much a backward pass keeps, and keeping freed memory in the process.

`require_memory` refuses work that does not fit, before it starts. On a CPU the limit is the smaller of the machine's
free memory and what the control groups (cgroups) of a container leave.
"""

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


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Check that work fits into memory, before it starts.

    Raises:
        NotEnoughMemoryError: `needed` bytes are more than `device` has left; the error calls the work `what`.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise NotEnoughMemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB and {device} has {available / 2**30:.1f} GiB left; "
            "make it smaller"
        )


def available_memory(device: torch.device) -> int | None:
    """Return how many bytes can still be allocated on `device`; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    limits = (_unused_memory(), memory_left())
    return min((number for number in limits if number is not None), default=None)


def _unused_memory() -> int | None:
    """Return the free bytes of the machine, in a container those of its host; None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            fields = dict(line.split(":", 1) for line in meminfo)
    except OSError:
        return None
    return int(fields["MemAvailable"].split()[0]) * 1024


CGROUP_MOUNT = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class CgroupFiles:
    """Names of a cgroup's files, and of the line of memory.stat that counts the page cache dropped first."""

    limit: str
    used: str
    inactive: str


# In version 1 "no limit" is a number larger than any memory.
V1 = CgroupFiles("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = CgroupFiles("memory.max", "memory.current", "inactive_file")


def memory_left(mount: Path = CGROUP_MOUNT, process_cgroups: Path = PROCESS_CGROUPS) -> int | None:
    """Return how many bytes the cgroups leave this process; None without cgroups or limits.

    Args:
        mount: where the cgroup file systems are mounted.
        process_cgroups: the file that lists the cgroups of the process.
    """
    left = [_left(folder, names) for folder, names in _cgroup_folders(mount, process_cgroups)]
    return min((number for number in left if number is not None), default=None)


def _cgroup_folders(mount: Path, process_cgroups: Path) -> Iterator[tuple[Path, CgroupFiles]]:
    """Yield the cgroup of the process in each version, and all above it, whose limits apply as well.

    In a container the file may give the path on the host, while the container's own cgroup is mounted: it is the last
    of those above.
    """
    try:
        lines = process_cgroups.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = os.fsdecode(line).split(":", 2)
        if "memory" in controllers.split(","):
            root, names = mount / "memory", V1
        elif number == "0":
            root, names = mount, V2
        else:
            continue
        parts = Path(path).parts[1:]
        for depth in range(len(parts), -1, -1):
            yield root.joinpath(*parts[:depth]), names


def _left(folder: Path, names: CgroupFiles) -> int | None:
    """Return how many bytes a cgroup leaves. Its use counts page cache, of which the kernel drops the inactive part."""
    try:
        limit = (folder / names.limit).read_text().strip()
        if limit == "max":
            return None
        used = int((folder / names.used).read_text())
        lines = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return None
    inactive = dict(line.split() for line in lines).get(names.inactive, 0)
    return max(int(limit) - used + int(inactive), 0)


def saved_for_backward(forward: Callable[[], Tensor], own: Iterable[Tensor] = ()) -> tuple[int, int]:
    """Return the bytes that autograd saves when `forward` is called, and those of the largest tensor among them.

    Args:
        forward: is called once, with gradients enabled.
        own: tensors that exist already, such as weights; they are not counted.
    """
    existing = {tensor.untyped_storage().data_ptr() for tensor in own}
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in existing:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        output = forward()
    del output  # the saved tensors live until here, so that no two of them had one address
    return sum(saved.values()), max(saved.values(), default=0)


# Names and values of <malloc.h>.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
NEVER = -1
"""The value of M_TRIM_THRESHOLD with which glibc keeps all freed memory."""
DEFAULTS = {M_MMAP_MAX: 65536, M_MMAP_THRESHOLD: 32 * 2**20, M_TRIM_THRESHOLD: 64 * 2**20, M_TOP_PAD: 128 * 2**10}
"""The default settings, with the thresholds that glibc itself moves to once large blocks have been freed."""

_active_blocks: list[object] = []
"""A token for each block of `freed_memory_kept` that is running."""


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the process keep the memory that it frees, and return it to the system when the block ends.

    A step of a fit on the CPU allocates and frees every activation. By default glibc maps each of them anew, and the
    system clears it page by page. Without glibc nothing changes. The setting is that of the process, so other threads
    allocate that way too. Of several blocks at a time, the last one to end returns the memory.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, NEVER)
    mallopt(M_TOP_PAD, 64 * 2**20)
    token = object()
    _active_blocks.append(token)
    try:
        yield
    finally:
        _active_blocks.remove(token)
        if not _active_blocks:
            for setting, value in DEFAULTS.items():
                mallopt(setting, value)
            ctypes.CDLL(None).malloc_trim(0)

"""Memory that a control group of Linux leaves its processes: that of a container, a service or a batch job."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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

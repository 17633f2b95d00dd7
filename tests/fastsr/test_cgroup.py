from pathlib import Path

import pytest
import torch

from fastsr.cgroup import memory_left
from fastsr.device import available_memory

V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")
NO_LIMIT = 9223372036854771712


def group(folder: Path, files: tuple[str, str], limit: int | str, used: int) -> None:
    """Make the files of a group, of whose use 100 bytes are page cache that is dropped first."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, number in zip(files, (limit, used), strict=True):
        (folder / name).write_text(f"{number}\n")
    line = "inactive_file" if files is V2 else "inactive_file 7\ntotal_inactive_file"
    (folder / "memory.stat").write_text(f"anon 5\n{line} 100\n")


def left(groups: Path, own: str) -> int | None:
    (groups / "own").write_text(own)
    return memory_left(groups, groups / "own")


@pytest.mark.parametrize(("files", "mount", "own"), [(V2, "", "0::"), (V1, "memory", "4:cpu:/b\n3:memory:")])
def test_a_group_leaves_its_limit_less_its_use_but_for_page_cache(files, mount, own, tmp_path: Path):
    group(tmp_path / mount / "a", files, 1000, 600)
    group(tmp_path / mount / "a" / "b", files, 2000, 300)
    group(tmp_path / mount / "other", files, 0, 0)
    assert left(tmp_path, f"{own}/a\n") == 500
    assert left(tmp_path, f"{own}/a/b\n") == 500
    group(tmp_path / mount / "a" / "b", files, 300, 1000)
    assert left(tmp_path, f"{own}/a/b\n") == 0


def test_in_a_container_the_path_may_be_the_host_s_and_the_group_what_is_mounted(tmp_path: Path):
    group(tmp_path, V2, 1000, 600)
    assert left(tmp_path, "0::/\n") == left(tmp_path, "0::/system.slice/docker-1:2\n") == 500


def test_without_a_limit_it_is_what_the_machine_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    group(tmp_path, V2, "max", 600)
    assert left(tmp_path, "0::/\n") is None
    assert memory_left(tmp_path, tmp_path / "none") is None
    group(tmp_path / "memory", V1, NO_LIMIT, 600)
    unlimited = left(tmp_path, "1:memory:/\n")
    for limit, limited in ((5, True), (unlimited, False), (None, False)):
        monkeypatch.setattr("fastsr.device.memory_left", lambda limit=limit: limit)
        assert (available_memory(torch.device("cpu")) == 5) == limited

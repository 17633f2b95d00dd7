"""The results of measurements: where they were made, from what, and writing them whole."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FORMAT = 1
"""Version of the layout of a result file (see results/README.md)."""


def data_folder(holds: str = "Set5, Set14 and dip") -> Path:
    """Return the folder of pictures, which FASTSR_DATA names.

    Args:
        holds: what is needed of it, for the error.

    Raises:
        SystemExit: it is not set.
    """
    if "FASTSR_DATA" not in os.environ:
        raise SystemExit(f"set FASTSR_DATA to the folder that holds {holds}")
    return Path(os.environ["FASTSR_DATA"])


def environment(device: torch.device) -> dict[str, Any]:
    """Return where a measurement is made: device, versions, commit and time; on the CPU also the threads."""
    import torch

    cpu = {"device": _processor(), "threads": torch.get_num_threads()}
    return {
        **({"device": torch.cuda.get_device_name(device)} if device.type == "cuda" else cpu),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": _version("triton"),
        "commit": _commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def kept_rows(path: Path, where: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that an earlier run left in `path`.

    Raises:
        SystemExit: they were measured elsewhere than `where`, and writing there would lose them.
    """
    if not path.exists():
        return []
    report = json.loads(path.read_text())
    for key in ("device", "threads", "python", "torch"):
        if report.get(key) != where[key]:
            raise SystemExit(
                f"{path} was measured with {key} {report.get(key)!r}, not {where[key]!r}; move it away to begin anew"
            )
    return list(report["rows"])


def folder_name(device: str) -> str:
    """Return the folder for the results of a device: its name in lower case, with dashes."""
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def _processor() -> str:
    """The name of the processor where the system tells, else its architecture."""
    try:
        names = re.findall(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the working tree, with "-dirty" where it has changes; None outside a repository."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def save(path: Path, report: dict[str, Any]) -> None:
    """Write `report` as JSON, the file appearing whole or not at all."""
    from fastsr.files import atomic_write  # it imports torch, and every item of a queue imports this

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write((json.dumps(report, indent=1) + "\n").encode())


def write_between_marks(path: Path, marks: tuple[str, str], table: str) -> None:
    """Put `table` between two marks in a Markdown file.

    Raises:
        ValueError: the file has not these marks.
    """
    before, begin, rest = path.read_text().partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{path} has no {marks[0]} with {marks[1]} behind it")
    path.write_text(f"{before}{begin}\n\n{table}\n\n{end}{after}")

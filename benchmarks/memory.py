"""The most memory that this process has used, as Linux reports it."""

from __future__ import annotations

from pathlib import Path


def reset_peak_bytes() -> int:
    """Forget the peak so far; return the bytes in use now."""
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak of the resident memory to what it is now
    return peak_bytes()


def peak_bytes() -> int:
    """Return the most bytes that this process had in memory since `reset_peak_bytes`, or since it began."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

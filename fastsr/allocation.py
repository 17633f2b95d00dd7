"""Keeping freed memory for the next allocation, where the C library would give it back to the system."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

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

"""Where downloads are kept."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit


def cache_folder() -> Path:
    """Return the folder of downloads: FASTSR_CACHE, or ~/.cache/fastsr."""
    folder = os.environ.get("FASTSR_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "fastsr"


def file_name(address: str) -> str:
    """Return a name for what is at `address`: its own, after a hash that keeps two files of one name apart."""
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:]
    return f"{hashlib.sha256(address.encode()).hexdigest()[:12]}-{safe or 'file'}"

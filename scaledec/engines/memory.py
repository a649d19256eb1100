"""How much memory there is for a process of this machine."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["machine_memory"]

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int | None:
    """Bytes of this machine, or of the container that this process is in; ``None`` where it is not known."""
    try:
        found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    except (ValueError, OSError):
        return None
    for name in _LIMITS:
        try:
            text = Path(name).read_text().strip()
        except OSError:
            continue  # no such limit on this system
        if text.isdigit():
            found.append(int(text))
    return min(found)

"""Memory for decoded samples that is used again from segment to segment."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Arena"]

_LARGEST_ARENA = 1 << 28
_ALIGNMENT = 64


class Arena(threading.local):
    """Memory for decoded samples, used again for the next segment of the same thread.

    A fresh array of a day's samples costs more in page faults than in decoding.
    """

    def __init__(self) -> None:
        self._block = np.empty(0, np.uint8)
        self._used = self._asked = 0

    def reset(self) -> None:
        """Give back everything taken; arrays taken before must not be used any more."""
        wanted = min(self._asked, _LARGEST_ARENA)
        if wanted > len(self._block):
            self._block = np.empty(wanted, np.uint8)
        self._used = self._asked = 0

    def take(self, number: int, dtype: Any) -> npt.NDArray[Any]:
        """An array of ``number`` items, from the block while it lasts."""
        size = number * np.dtype(dtype).itemsize
        room = -(-size // _ALIGNMENT) * _ALIGNMENT
        self._asked += room
        if self._used + room > len(self._block):
            return np.empty(number, dtype)
        taken: npt.NDArray[Any] = self._block[self._used : self._used + size].view(dtype)
        self._used += room
        return taken

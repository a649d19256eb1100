"""The bytes of one Zarr v3 shard, made in this thread.

zarr-python reads a shard before it writes it whole, and hands every inner chunk to a thread of its
own. Here the inner chunks are compressed one after another into the same bytes: quicker on one core, no
download before an upload, and a damaged shard can be rewritten.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any, cast

import google_crc32c
import numpy as np
import numpy.typing as npt
import zarr
from numcodecs import blosc  # type: ignore[import-untyped]
from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec, ShardingCodec

from scaledec.errors import StoreError

__all__ = ["COMPRESSION_LEVEL", "ShardEncoder", "inner_length"]

COMPRESSION_LEVEL = 1
"""Of Blosc's zstd: 6 % smaller than lz4; higher levels cost several times as much for 1-2 %."""

# Inner chunks near this many bytes: large enough to be worth a request, small enough to hold in cache.
_INNER_BYTES = 1.5 * 2**20
_ABSENT = np.iinfo(np.uint64).max

# With threads Blosc orders its blocks by who finishes first, and the bytes would differ between runs.
blosc.use_threads = False


def inner_length(length: int, bytes_per_row: int, *, wanted_bytes: float = _INNER_BYTES) -> int:
    """The divisor of ``length`` whose rows come nearest to the wanted size of an inner chunk.

    Examples
    --------
    >>> inner_length(67500, 129 * 2)
    6750
    """
    if length * bytes_per_row <= wanted_bytes * 1.5:
        return max(1, length)
    divisors = [d for d in range(1, length + 1) if length % d == 0]
    return min(divisors, key=lambda d: abs(math.log(d * bytes_per_row / wanted_bytes)))


@dataclass(frozen=True)
class ShardEncoder:
    """Encodes shards of one array; made once by :meth:`of`."""

    shard: tuple[int, ...]
    chunk: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: Any
    level: int

    @classmethod
    def of(cls, array: zarr.Array[Any]) -> ShardEncoder:
        """The encoder for an array made by this package; ``StoreError`` for any other encoding."""
        codecs = array.metadata.codecs  # type: ignore[union-attr]
        if len(codecs) == 1 and isinstance(codecs[0], ShardingCodec):
            inner = codecs[0].codecs
            index = codecs[0].index_codecs
            if (
                [type(c) for c in inner] == [BytesCodec, BloscCodec]
                and [type(c) for c in index] == [BytesCodec, Crc32cCodec]
                and codecs[0].index_location.value == "end"
            ):
                fill = np.asarray(array.fill_value, dtype=array.dtype)
                return cls(
                    array.shards or array.chunks,
                    array.chunks,
                    array.dtype,
                    fill,
                    cast(BloscCodec, inner[1]).clevel,
                )
        raise StoreError(f"array {array.name} of {array.store} is not encoded as scaledec encodes: {codecs}")

    def encode(self, values: npt.NDArray[Any]) -> list[bytes] | None:
        """The parts of one shard; ``None`` if it holds nothing but fill and is not stored.

        ``values`` may be clipped at the array's edge; it must have the array's dtype and be C-contiguous.
        """
        if values.shape != self.shard:
            padded = np.full(self.shard, self.fill, dtype=self.dtype)
            padded[tuple(slice(0, n) for n in values.shape)] = values
            values = padded
        grid = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        index = np.full((*grid, 2), _ABSENT, dtype="<u8")
        parts: list[bytes] = []
        offset = 0
        for place in itertools.product(*map(range, grid)):
            piece = values[tuple(slice(i * c, (i + 1) * c) for i, c in zip(place, self.chunk, strict=True))]
            piece = np.ascontiguousarray(piece)
            if self._is_fill(piece):
                continue
            encoded = blosc.compress(piece, b"zstd", self.level, blosc.BITSHUFFLE, 0)
            index[place] = offset, len(encoded)
            parts.append(encoded)
            offset += len(encoded)
        if not parts:
            return None
        table = index.tobytes()
        checksum = google_crc32c.value(table).to_bytes(4, "little")
        return [*parts, table + checksum]

    def _is_fill(self, piece: npt.NDArray[Any]) -> bool:
        # Compared as bits: another NaN than the fill value's must come back as it was written.
        bits = np.dtype(f"u{self.dtype.itemsize}")
        fill = self.fill.view(bits)
        flat = piece.reshape(-1).view(bits)
        return bool(flat[0] == fill and flat[-1] == fill and (flat == fill).all())

"""Writing miniSEED: samples of one unbroken stretch to the bytes of its records.

Exists for archives that scaledec makes itself (synthetic data, tests); recordings are never rewritten.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from pymseed import DataEncoding, MS3TraceList, nslc2sourceid

from scaledec.vocabulary import ChannelId

__all__ = ["Encoding", "write_miniseed"]

Encoding: TypeAlias = Literal["steim1", "steim2", "int32", "float32", "float64"]

_ENCODINGS: dict[Encoding, tuple[DataEncoding, str, Any]] = {
    "steim1": (DataEncoding.STEIM1, "i", np.int32),
    "steim2": (DataEncoding.STEIM2, "i", np.int32),
    "int32": (DataEncoding.INT32, "i", np.int32),
    "float32": (DataEncoding.FLOAT32, "f", np.float32),
    "float64": (DataEncoding.FLOAT64, "d", np.float64),
}


def write_miniseed(
    channel: ChannelId,
    start_ns: int,
    rate_hz: float,
    samples: npt.NDArray[Any],
    *,
    record_length: int = 512,
    encoding: Encoding = "steim2",
    format_version: Literal[2, 3] = 2,
) -> bytes:
    """The miniSEED records of one unbroken stretch of samples, in time order.

    Parameters
    ----------
    channel
        Written into every record's header.
    start_ns
        Time of the first sample; miniSEED 2 keeps it to the microsecond.
    rate_hz
        Samples per second.
    samples
        One-dimensional. Integers for ``steim1``, ``steim2``, ``int32``; real numbers for the floats.
    record_length
        Bytes of a record (miniSEED 2: a power of two, 128 to 65536); the longest one for miniSEED 3.
    encoding
        How samples are packed. Steim-2 cannot hold differences of 2**29 or more.
    format_version
        2 or 3.

    Raises
    ------
    ValueError
        If the samples are not one-dimensional, do not fit the encoding, or cannot be packed.

    Examples
    --------
    >>> record = write_miniseed(ChannelId.parse("XX.A..HHZ"), 0, 100.0, np.arange(100, dtype=np.int32))
    >>> len(record)
    512
    """
    data_encoding, sample_type, dtype = _ENCODINGS[encoding]
    values = np.asarray(samples)
    if values.ndim != 1 or not np.can_cast(values.dtype, dtype, casting="same_kind"):
        raise ValueError(
            f"samples are {values.dtype} of shape {values.shape}; {encoding} needs one dimension of "
            f"{np.dtype(dtype).name}"
        )
    packed = np.ascontiguousarray(values, dtype=dtype)
    if not np.array_equal(packed, values, equal_nan=packed.dtype.kind == "f") and packed.dtype.kind == "i":
        raise ValueError(f"samples reach {np.abs(values).max():g}, beyond the 32 bits of {encoding}")
    source = nslc2sourceid(channel.network, channel.station, channel.location, channel.channel)
    try:
        with MS3TraceList() as traces:
            traces.add_data(source, packed, sample_type, rate_hz, starttime=start_ns)
            return b"".join(
                traces.generate(
                    max_record_length=record_length, encoding=data_encoding, format_version=format_version
                )
            )
    except RuntimeError as error:
        raise ValueError(f"cannot write {channel} as {encoding}: {error}") from error

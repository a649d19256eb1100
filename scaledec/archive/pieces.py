"""What reading one object of miniSEED gives: pieces, spans, and what was left out on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from pymseed import get_error_messages

from scaledec.vocabulary import ChannelId

__all__ = ["Findings", "HeaderSpan", "Piece", "ReadOutcome"]

_MOST_NOTES = 5


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Unbroken samples of one channel."""

    channel: ChannelId
    start_ns: int
    """Time of the first sample."""
    sampling_rate_hz: float
    samples: npt.NDArray[Any]
    """(sample,) int32, float32 or float64."""


@dataclass(frozen=True, slots=True)
class HeaderSpan:
    """Unbroken samples of one channel, known from headers alone."""

    channel: ChannelId
    start_ns: int
    end_ns: int
    """One sample after the last one."""
    sampling_rate_hz: float


@dataclass(frozen=True, slots=True, eq=False)
class ReadOutcome:
    """What one object held of a channel and an interval."""

    pieces: tuple[Piece, ...]
    """By start time, of two together the longer first."""
    foreign: tuple[str, ...]
    """Ids of other channels that were met and left alone."""
    dropped_bytes: int
    """Bytes that belong to no readable record."""
    notes: tuple[str, ...]
    """Sentences about what was left out or looked wrong."""


@dataclass(slots=True)
class Findings:
    """What is gathered while one object is read."""

    notes: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    foreign: dict[str, None] = field(default_factory=dict)
    dropped_bytes: int = 0
    bad_records: int = 0
    first_reason: str = ""

    def collect_messages(self) -> None:
        """Keep what libmseed had to say about the last call."""
        for message in get_error_messages():
            self.notes.setdefault(message)

    def drop_record(self, length: int, reason: object) -> None:
        """Count a record that cannot be decoded."""
        self.bad_records += 1
        self.dropped_bytes += length
        self.first_reason = self.first_reason or str(reason)

    def outcome(self, pieces: list[Piece]) -> ReadOutcome:
        """The pieces in order, with everything that was gathered."""
        if self.bad_records:
            self.notes.setdefault(f"{self.bad_records} records cannot be decoded: {self.first_reason}")
        if self.dropped_bytes:
            self.notes.setdefault(f"{self.dropped_bytes} bytes belong to no readable record")
        notes = list(self.notes)
        if len(notes) > _MOST_NOTES:
            notes[_MOST_NOTES:] = [f"and {len(notes) - _MOST_NOTES} more messages"]
        pieces.sort(key=lambda piece: (piece.start_ns, -len(piece.samples)))
        return ReadOutcome(tuple(pieces), tuple(self.foreign), self.dropped_bytes, tuple(notes))

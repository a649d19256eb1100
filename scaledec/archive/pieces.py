"""What reading one object of miniSEED gives: pieces, spans, and what was left out on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt
from pymseed import get_error_messages

from scaledec.vocabulary import ChannelId

__all__ = ["Findings", "HeaderSpan", "Piece", "ReadOutcome"]

_MOST_NOTES = 5
_MOST_PLACES = 3


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
    left_out: list[tuple[int, int]] = field(default_factory=list)
    """(first byte, end) of what is no complete record."""
    bad_records: list[tuple[int, int]] = field(default_factory=list)
    """(first byte, length) of records that cannot be decoded."""
    first_reason: str = ""
    text_records: Counter[ChannelId] = field(default_factory=Counter)
    n_without_samples: int = 0

    def collect_messages(self) -> None:
        """Keep what libmseed had to say about the last call."""
        for message in get_error_messages():
            self.notes.setdefault(message)

    def drop_record(self, offset: int, length: int, reason: object) -> None:
        """Count a record that cannot be decoded."""
        self.bad_records.append((offset, length))
        self.first_reason = self.first_reason or str(reason)

    def forget_losses(self) -> None:
        """Begin anew: another reader has a try."""
        self.notes.clear()
        self.left_out.clear()
        self.bad_records.clear()
        self.text_records.clear()
        self.n_without_samples = 0

    def outcome(self, pieces: list[Piece]) -> ReadOutcome:
        """The pieces in order, with everything that was gathered; what was lost stands first."""
        losses = list(self._losses())
        others = list(self.notes)
        room = max(0, _MOST_NOTES - len(losses))
        if len(others) > room:
            others[room:] = [f"and {len(others) - room} more messages"]
        pieces.sort(key=lambda piece: (piece.start_ns, -len(piece.samples)))
        dropped = sum(end - start for start, end in self.left_out)
        dropped += sum(length for _, length in self.bad_records)
        return ReadOutcome(tuple(pieces), tuple(self.foreign), dropped, (*losses, *others))

    def _losses(self) -> Iterator[str]:
        if self.left_out:
            number = sum(end - start for start, end in self.left_out)
            places = _first_few([f"{start} to {end}" for start, end in self.left_out])
            yield f"{number} bytes belong to no readable record: {places}"
        if self.bad_records:
            places = _first_few([f"{length} bytes at {offset}" for offset, length in self.bad_records])
            yield f"{len(self.bad_records)} records cannot be decoded: {places}: {self.first_reason}"
        for channel, number in self.text_records.items():
            yield f"{number} text records of {channel} hold no samples"
        if self.n_without_samples:
            yield f"{self.n_without_samples} records say that they hold no samples"


def _first_few(words: list[str]) -> str:
    more = len(words) - _MOST_PLACES
    return ", ".join(words[:_MOST_PLACES]) + (f" and {more} more" if more > 0 else "")

"""What is known of channels from StationXML: where they stand, when they operate, how they record."""

from __future__ import annotations

import bisect
import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, ResponseSpan, format_time

__all__ = ["OPEN_END_NS", "Epoch", "Stations"]

OPEN_END_NS = 2**63 - 1
"""End of an epoch that goes on."""

# Epochs are often written as ending at 23:59:59 where the next one begins at midnight.
_JOINED_NS = NANOSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Epoch:
    """One channel from one change of its station's hardware or place to the next."""

    channel: ChannelId
    start_ns: int
    end_ns: int
    """Exclusive; :data:`OPEN_END_NS` where it goes on."""
    latitude: float
    longitude: float
    elevation_m: float
    depth_m: float
    """Below the elevation."""
    azimuth_deg: float | None
    dip_deg: float | None
    sampling_rate_hz: float
    response: str | None = None
    """Name of the stored gain, where one was asked for and can be told."""
    reason: str | None = None
    """Why the gain that was asked for cannot be told."""
    gain_only: bool = False
    """Whether the response is a sensitivity alone, taken as flat."""


@dataclass(frozen=True, slots=True, eq=False)
class _Channel:
    """One channel's epochs in order, and its time cut into spans that do not overlap."""

    epochs: tuple[Epoch, ...]
    spans: tuple[ResponseSpan, ...]
    starts_ns: tuple[int, ...]
    ends_ns: tuple[int, ...]

    def meeting(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Range of the spans that share an instant with ``[start_ns, end_ns)``."""
        first = bisect.bisect_right(self.ends_ns, start_ns)
        stop = bisect.bisect_left(self.starts_ns, end_ns, lo=first)
        return first, stop


class Stations:
    """Epochs of channels, for quick questions about any interval.

    Where epochs of a channel overlap, the one that started last holds, and of those that start together
    the one listed last. A hole of up to a second between two epochs belongs to the earlier one.

    Parameters
    ----------
    epochs
        In the order in which they are listed.
    source
        Where they come from, for messages.
    unreadable
        Files that could not be used, and why.

    Examples
    --------
    >>> channel = ChannelId.parse("CI.WBM..LHZ")
    >>> here = Epoch(channel, 0, 1000, 35.6, -117.9, 892.0, 0.0, None, None, 1.0)
    >>> Stations([here], "CI_WBM.xml").operates(channel, 2000, 3000)
    False
    """

    def __init__(
        self, epochs: Iterable[Epoch], source: str, *, unreadable: Sequence[tuple[str, str]] = ()
    ) -> None:
        self.source = source
        self.unreadable = tuple(unreadable)
        by_channel: dict[ChannelId, list[Epoch]] = {}
        for epoch in epochs:
            by_channel.setdefault(epoch.channel, []).append(epoch)
        self._channels = {channel: _channel(own) for channel, own in by_channel.items()}
        # The same tuple for the thousands of segments of one epoch: a plan holds it once.
        self._some_spans = functools.cache(self._cut_spans)

    def operates(self, channel: ChannelId, start_ns: int, end_ns: int) -> bool:
        """Whether an epoch of the channel meets the interval; true for a channel nothing is known of."""
        own = self._channels.get(channel)
        if own is None:
            return True
        first, stop = own.meeting(start_ns, end_ns)
        return first < stop

    def responses(self, channel: ChannelId, start_ns: int, end_ns: int) -> tuple[ResponseSpan, ...]:
        """What is known of the channel's response in the interval, in order of time.

        Never empty: for an interval outside every epoch, one span says so.
        """
        own = self._channels.get(channel)
        first, stop = (0, 0) if own is None else own.meeting(start_ns, end_ns)
        if first < stop:
            return self._some_spans(channel, first, stop)
        missing = "the channel is not in" if own is None else "no epoch of the channel holds then in"
        return (ResponseSpan(0, OPEN_END_NS, None, f"{missing} {self.source}"),)

    def _cut_spans(self, channel: ChannelId, first: int, stop: int) -> tuple[ResponseSpan, ...]:
        return self._channels[channel].spans[first:stop]

    def epoch(self, channel: ChannelId, time_ns: int) -> Epoch | None:
        """The epoch that holds at an instant, else the last one before it, else the first one."""
        own = self._channels.get(channel)
        if own is None:
            return None
        begun = [epoch for epoch in own.epochs if epoch.start_ns <= time_ns]
        holding = [epoch for epoch in begun if epoch.end_ns > time_ns]
        return (holding or begun or list(own.epochs[:1]))[-1]

    def notes(self, channels: Iterable[ChannelId]) -> list[str]:
        """Sentences about what looks wrong with the metadata of these channels."""
        return [note for channel in channels if channel in self._channels for note in self._notes(channel)]

    def _notes(self, channel: ChannelId) -> Iterable[str]:
        epochs = self._channels[channel].epochs
        for earlier, later in itertools.pairwise(epochs):
            if later.start_ns < earlier.end_ns and earlier.response != later.response:
                yield (
                    f"{channel}: two epochs with different responses hold at "
                    f"{format_time(later.start_ns)} in {self.source}; the one that started (or is listed) "
                    "last is used"
                )


def _channel(epochs: Sequence[Epoch]) -> _Channel:
    ordered = sorted(epochs, key=lambda epoch: epoch.start_ns)  # stable: as listed where they start together
    spans: list[ResponseSpan] = []
    for span in _cut(ordered):
        before = spans[-1] if spans else None
        if before is not None and 0 < span.start_ns - before.end_ns <= _JOINED_NS:
            before = spans[-1] = ResponseSpan(before.start_ns, span.start_ns, before.response, before.reason)
        same = before is not None and (before.response, before.reason) == (span.response, span.reason)
        if before is not None and same and before.end_ns == span.start_ns:
            spans[-1] = ResponseSpan(before.start_ns, span.end_ns, span.response, span.reason)
        else:
            spans.append(span)
    return _Channel(
        tuple(ordered),
        tuple(spans),
        starts_ns=tuple(span.start_ns for span in spans),
        ends_ns=tuple(span.end_ns for span in spans),
    )


def _cut(ordered: Sequence[Epoch]) -> Iterable[ResponseSpan]:
    """Spans between all starts and ends, each of the last epoch that holds there."""
    borders = sorted({border for epoch in ordered for border in (epoch.start_ns, epoch.end_ns)})
    for start, end in itertools.pairwise(borders):
        holding = [epoch for epoch in ordered if epoch.start_ns <= start and end <= epoch.end_ns]
        if holding:
            yield ResponseSpan(start, end, holding[-1].response, holding[-1].reason)

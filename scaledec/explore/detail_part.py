"""The lower part of the page: one channel over a day or less, down to its samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import panel as pn
from bokeh.events import Tap

from scaledec.errors import StoreError
from scaledec.explore.background import Background
from scaledec.explore.cards import Place
from scaledec.explore.detail import Picture, Windows, read_windows, spectrogram
from scaledec.explore.detail_figures import Detail
from scaledec.explore.figures import milliseconds
from scaledec.explore.opened import Opened, OpenedRun, Span
from scaledec.explore.style import text
from scaledec.explore.turns import Later
from scaledec.explore.waveform import Trace, read_trace
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["DetailPart"]

_NS_PER_MS = 1_000_000
_HOUR_NS = 3600 * NANOSECONDS_PER_SECOND
_LENGTHS = {"day": 24 * _HOUR_NS, "6 h": 6 * _HOUR_NS, "1 h": _HOUR_NS, "10 min": _HOUR_NS // 6}
_RAW, _BAND = "raw", "band-pass"


class DetailPart:
    """Labels, spectrogram and samples of one channel on one axis of time.

    Parameters
    ----------
    run
        ``None`` where nothing is labelled.
    classes
        Which classes have a colour of their own now.
    moved
        Called with the channel and span looked at.
    picked
        Called with the window that was clicked.
    """

    def __init__(
        self,
        opened: Opened,
        run: OpenedRun | None,
        background: Background,
        *,
        classes: Callable[[], tuple[int, ...]],
        moved: Callable[[int, Span], None],
        picked: Callable[[Place], None],
    ) -> None:
        self._opened, self._run, self._background = opened, run, background
        self._classes, self._moved, self._picked = classes, moved, picked
        self._bounds = opened.span(run)
        self._channels = opened.channels(run)
        self._windows: Windows | None = None
        self._detail = Detail(
            self._first_day(),
            self._bounds,
            () if run is None else run.names,
            () if run is None else run.colours,
            "" if opened.cube is None else opened.power_unit,
        )
        self._zoomed = Later(self._load)
        for name in ("start", "end"):
            self._detail.x_range.on_change(name, lambda attribute, old, new: self._zoomed())
        for one in (self._detail.labels, self._detail.spectrogram, self._detail.trace):
            one.on_event(Tap, self._tapped)
        self._make_controls()
        figures = [self._detail.spectrogram, self._detail.trace]
        if run is not None:
            figures.insert(0, self._detail.labels)
        self.view = pn.Column(
            self._controls,
            *(pn.pane.Bokeh(one, sizing_mode="stretch_width") for one in figures[:-1]),
            self._wave_controls,
            pn.pane.Bokeh(figures[-1], sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )
        self._choose_source()

    def go(self, channel_index: int, span: Span) -> None:
        """Look at another channel or span."""
        name = str(self._channels[channel_index])
        if self._channel.value != name:
            self._channel.value = name
        span = _within(span, self._bounds)
        start, end = float(milliseconds(span.start_ns)), float(milliseconds(span.end_ns))
        self._detail.x_range.update(start=start, end=end)
        self._zoomed()

    def go_near(self, channel_index: int, time_ns: int) -> None:
        """Look at the segment of an instant, or as closely as now around it."""
        length = self.span.length_ns
        segment_ns = self._opened.segment_ns(self._run)
        if length >= segment_ns:
            index = (time_ns - self._bounds.start_ns) // segment_ns
            start = self._bounds.start_ns + index * segment_ns
            self.go(channel_index, Span(start, start + segment_ns))
        else:
            self.go(channel_index, Span(time_ns - length // 2, time_ns + length - length // 2))

    def show_window(self, place: Place) -> None:
        """Frame a window, moving to it if it is out of sight."""
        assert self._run is not None
        length_ns = round(self._run.store.windows.length_s * NANOSECONDS_PER_SECOND)
        span = self.span
        seen = span.start_ns <= place.start_ns and place.start_ns + length_ns <= span.end_ns
        if not seen or self._channels[place.channel_index] != self.channel:
            self.go_near(place.channel_index, place.start_ns)
        self._detail.mark(place.start_ns, length_ns)

    def reclassed(self) -> None:
        """Other classes were chosen."""
        self._detail.show_windows(self._windows, self._classes())

    @property
    def channel(self) -> ChannelId:
        """The channel, or sensor, looked at."""
        return ChannelId.parse(self._channel.value)

    @property
    def span(self) -> Span:
        """The time looked at."""
        x = self._detail.x_range
        return Span(round(x.start * _NS_PER_MS), round(x.end * _NS_PER_MS)).clipped(self._bounds)

    def _first_day(self) -> Span:
        """The first segment of the first channel that the cube holds."""
        segment_ns, first = self._opened.segment_ns(self._run), 0
        cube, sources = self._opened.cube, self._opened.sources(self._channels[0], self._run)
        if cube is not None and sources:
            try:
                first = min(cube.stored_segments(cube.channel_index(sources[0])), default=0)
            except StoreError:
                first = 0  # what is wrong with it is told where its spectrogram would be
        start = self._bounds.start_ns + first * segment_ns
        return Span(start, start + segment_ns).clipped(self._bounds)

    def _make_controls(self) -> None:
        make = pn.widgets.Button
        self._channel = pn.widgets.Select(options=[str(channel) for channel in self._channels], width=150)
        self._source = pn.widgets.Select(options=[], width=72, visible=False)
        before, after = make(name="◀ earlier", width=78), make(name="later ▶", width=74)
        before.on_click(lambda event: self._shift(-1))
        after.on_click(lambda event: self._shift(1))
        lengths = [make(name=name, width=56) for name in _LENGTHS]
        for button in lengths:
            button.on_click(lambda event: self._set_length(_LENGTHS[event.obj.name]))
        self._title = text("", margin=(12, 10))
        self._controls = pn.FlexBox(self._channel, self._source, before, after, *lengths, self._title)
        self._kind = pn.widgets.RadioButtonGroup(options=[_RAW, _BAND], value=_RAW, width=160)
        low, high = self._opened.band_hz
        self._low = pn.widgets.FloatInput(value=low, start=0.001, step=0.5, width=80, visible=False)
        self._high = pn.widgets.FloatInput(value=high, start=0.002, step=0.5, width=80, visible=False)
        hertz = text("Hz", visible=False, margin=(12, 2))
        self._wave_controls = pn.Row(
            text("waveform", margin=(12, 6)),
            self._kind,
            self._low,
            self._high,
            hertz,
        )
        self._hertz = hertz
        self._channel.param.watch(lambda event: self._choose_source(), "value")
        self._source.param.watch(lambda event: self._zoomed(), "value")
        for widget in (self._kind, self._low, self._high):
            widget.param.watch(lambda event: self._load_trace(), "value")

    def _choose_source(self) -> None:
        """Which channel of a sensor is drawn: the components of the one chosen."""
        names = [str(source) for source in self._opened.sources(self.channel, self._run)]
        self._source.options = {name.rpartition(".")[2]: name for name in names}
        self._source.visible = len(names) > 1
        self._source.value = names[0] if names else None
        self._detail.mark(None)
        self._zoomed()

    def _shift(self, step: int) -> None:
        span = self.span
        move = step * span.length_ns
        self.go(self._index, Span(span.start_ns + move, span.end_ns + move))

    def _set_length(self, length_ns: int) -> None:
        middle = (self.span.start_ns + self.span.end_ns) // 2
        if length_ns == _LENGTHS["day"]:
            start = middle // length_ns * length_ns
            self.go(self._index, Span(start, start + length_ns))
        else:
            self.go(self._index, Span(middle - length_ns // 2, middle + length_ns // 2))

    @property
    def _index(self) -> int:
        return self._channels.index(self.channel)

    def _load(self) -> None:
        span, index = self.span, self._index
        self._moved(index, span)
        self._title.object = f"{_clock(span.start_ns)} to {_clock(span.end_ns)} UTC"
        run = self._run
        if run is not None:

            def windows() -> Iterator[Windows | None]:
                yield read_windows(run, index, span)

            self._background.ask("windows", windows, self._tell_windows)
        self._background.ask("picture", lambda: self._read_picture(span), self._detail.show_picture)
        self._load_trace()

    def _read_picture(self, span: Span) -> Iterator[Picture]:
        cube, name = self._opened.cube, self._source.value
        if cube is None or name is None:
            reason = self._opened.no_cube or f"the cube does not hold {self._channel.value}"
            yield Picture.without(span, reason)
            return
        yield spectrogram(cube, cube.channel_index(ChannelId.parse(name)), span)

    def _load_trace(self) -> None:
        banded = self._kind.value == _BAND
        for widget in (self._low, self._high, self._hertz):
            widget.visible = banded
        band = (float(self._low.value), float(self._high.value)) if banded else None
        channel = ChannelId.parse(self._source.value or self._channel.value)
        span = self.span

        def look() -> Iterator[Trace]:
            yield read_trace(self._opened, channel, span, band_hz=band)

        self._detail.trace_note.say("reading the archive ...")
        self._background.ask("trace", look, self._detail.show_trace)

    def _tell_windows(self, found: Windows | None) -> None:
        self._windows = found
        self._detail.show_windows(found, self._classes())

    def _tapped(self, event: Any) -> None:
        run = self._run
        if run is None or event.x is None:
            return
        time_ns, index = round(event.x * _NS_PER_MS), self._index

        def look() -> Iterator[Place | None]:
            reach = round(run.store.windows.length_s * NANOSECONDS_PER_SECOND)
            found = read_windows(run, index, Span(time_ns - reach, time_ns + 1))
            at = None if found is None else found.at(time_ns)
            yield None if found is None or at is None else found.place(at)

        self._background.ask("tap", look, self._tell_tapped)

    def _tell_tapped(self, place: Place | None) -> None:
        if place is not None:
            self._picked(place)


def _within(span: Span, bounds: Span) -> Span:
    """The span moved into the bounds."""
    length = min(span.length_ns, bounds.length_ns)
    start = min(max(span.start_ns, bounds.start_ns), bounds.end_ns - length)
    return Span(start, start + length)


def _clock(time_ns: int) -> str:
    return format_time(round(time_ns / 1e9) * 10**9).replace("T", " ")

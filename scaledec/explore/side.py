"""What is chosen at the side of the page: channels, time, classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import panel as pn

from scaledec.errors import ConfigError
from scaledec.explore.opened import Span
from scaledec.explore.style import caption, hint, problem, text
from scaledec.queries.selection import chosen_instant
from scaledec.vocabulary import ChannelId, format_time

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ChannelChoice", "ClassChoice", "TimeChoice"]

_ROWS = """
.bk-input-group { max-height: 420px; overflow-y: auto; }
label { border-left: 14px solid; padding: 2px 0 2px 8px; margin-bottom: 2px; font-size: 12px; }
"""
_SWATCH = "label:nth-of-type(%d) { border-color: %s; accent-color: %s; }\n"
_MOST_ROWS = 200
"""Channels that a timeline shows at most."""


class ChannelChoice:
    """Which channels: chosen by typing a part of their names; none chosen is all."""

    def __init__(self, channels: Sequence[ChannelId], changed: Callable[[], None]) -> None:
        self._channels = tuple(channels)
        names = [str(channel) for channel in channels]
        self._widget = pn.widgets.MultiChoice(
            options=names,
            placeholder=f"all {len(names)}" if len(names) > 1 else names[0],
            solid=False,
            sizing_mode="stretch_width",
        )
        self._widget.param.watch(lambda event: changed(), "value")
        note = "" if len(names) <= _MOST_ROWS else f"the first {_MOST_ROWS} of {len(names)} are shown"
        self.view = pn.Column(caption("Stations"), self._widget, text(hint(note), visible=bool(note)))

    @property
    def indices(self) -> tuple[int, ...]:
        """Of the channels chosen, in the order of their names."""
        names = set(self._widget.value)
        chosen = [i for i, channel in enumerate(self._channels) if not names or str(channel) in names]
        return tuple(sorted(chosen, key=lambda i: str(self._channels[i])))[:_MOST_ROWS]


class TimeChoice:
    """From when to when, typed; follows what is zoomed elsewhere."""

    def __init__(self, bounds: Span, changed: Callable[[Span], None]) -> None:
        self._bounds, self._changed = bounds, changed
        self._is_quiet = False
        make = pn.widgets.TextInput
        self._start = make(name="from (UTC)", sizing_mode="stretch_width")
        self._end = make(name="to", sizing_mode="stretch_width")
        self._whole = pn.widgets.Button(name="all of it", button_type="default", width=90)
        self._problem = text("", visible=False, sizing_mode="stretch_width")
        self.show(bounds)
        for widget in (self._start, self._end):
            widget.param.watch(lambda event: self._typed(), "value")
        self._whole.on_click(lambda event: changed(bounds))
        self.view = pn.Column(caption("Time"), self._start, self._end, self._problem, self._whole)

    def show(self, span: Span) -> None:
        """Tell a span that was chosen elsewhere."""
        with self._quietly():
            self._start.value = format_time(span.start_ns // 10**9 * 10**9)
            self._end.value = format_time(-(-span.end_ns // 10**9) * 10**9)
        self._say("")

    def _typed(self) -> None:
        if self._is_quiet:
            return
        try:
            start, end = chosen_instant("from", self._start.value), chosen_instant("to", self._end.value)
        except ConfigError as error:
            self._say(str(error))
            return
        assert start is not None
        assert end is not None
        span = Span(start, end).clipped(self._bounds) if start < end else Span(start, start)
        if span.length_ns <= 0:
            bounds = f"{format_time(self._bounds.start_ns)} to {format_time(self._bounds.end_ns)}"
            self._say(f"nothing lies between them; there is {bounds}")
            return
        self._changed(span)

    def _say(self, words: str) -> None:
        self._problem.object = problem(words)
        self._problem.visible = bool(words)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False


class ClassChoice:
    """Which classes have their colours, and how many windows each has of what is shown."""

    def __init__(self, names: Sequence[str], colours: Sequence[str], changed: Callable[[], None]) -> None:
        self._names, self._changed = tuple(names), changed
        self._is_quiet = False
        swatches = "".join(_SWATCH % (k, colour, colour) for k, colour in enumerate(colours, start=1))
        self._boxes = pn.widgets.CheckBoxGroup(
            options={name: k for k, name in enumerate(names)},
            value=list(range(len(names))),
            stylesheets=[_ROWS + swatches],
            sizing_mode="stretch_width",
        )
        self._boxes.param.watch(lambda event: self._clicked(), "value")
        everything = pn.widgets.Button(name="all", width=60)
        nothing = pn.widgets.Button(name="none", width=60)
        everything.on_click(lambda event: self._set(list(range(len(names)))))
        nothing.on_click(lambda event: self._set([]))
        self.view = pn.Column(caption("Classes"), pn.Row(everything, nothing), self._boxes)

    @property
    def chosen(self) -> tuple[int, ...]:
        """Numbers of the classes chosen."""
        return tuple(sorted(self._boxes.value))

    def tell(self, windows: Sequence[int]) -> None:
        """Write the share of each class beside it."""
        total = max(1, sum(windows))
        shares = [_share(n / total) if n else "none" for n in windows]
        self._is_quiet = True
        self._boxes.options = {
            f"{name}  ({share})": k for k, (name, share) in enumerate(zip(self._names, shares, strict=True))
        }
        self._is_quiet = False

    def _clicked(self) -> None:
        if not self._is_quiet:
            self._changed()

    def _set(self, chosen: list[int]) -> None:
        self._boxes.value = chosen


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "< 0.1%"

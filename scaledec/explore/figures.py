"""The figures of the overview: counts over time, and a timeline of stations; made once, then filled."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import (
    BoxAnnotation,
    ColumnDataSource,
    DatetimeTickFormatter,
    FixedTicker,
    HoverTool,
    Label,
    NumeralTickFormatter,
    Range1d,
    WheelZoomTool,
)
from bokeh.plotting import figure

from scaledec.explore.counts import Bins, Counts
from scaledec.explore.opened import Span
from scaledec.explore.paint import packed, painted_rows
from scaledec.report.palette import UNLABELLED_COLOUR

__all__ = ["MARK", "Note", "Overview", "bare_figure", "length_text", "milliseconds", "time_range"]

MARK = "#d62728"
"""What is looked at in detail."""
_LEFT, _RIGHT = 118, 84
_ROW_POINTS = 14
_NS_PER_MS = 1_000_000


def milliseconds(time_ns: npt.NDArray[np.int64] | int) -> Any:
    """Instants as Bokeh counts time: milliseconds since 1970."""
    return np.asarray(time_ns) / _NS_PER_MS


def time_range(span: Span, bounds: Span) -> Range1d:
    """An axis of time that can be zoomed and moved within bounds."""
    start, end = milliseconds(span.start_ns), milliseconds(span.end_ns)
    limits = float(milliseconds(bounds.start_ns)), float(milliseconds(bounds.end_ns))
    return Range1d(float(start), float(end), bounds=limits, min_interval=2000.0)


def length_text(length_ns: int) -> str:
    """A length of time in its largest whole unit: ``30 min``, ``day``."""
    for unit, name in ((86_400, "day"), (3600, "hour"), (60, "min"), (1, "s")):
        if length_ns % (unit * 10**9) == 0:
            number = length_ns // (unit * 10**9)
            return name if number == 1 else f"{number} {name}"
    return f"{length_ns / 1e9:.3g} s"


def bare_figure(x_range: Range1d, height: int, y_range: Any = None, *, tools: str = "", **others: Any) -> Any:
    """A figure over time; dragging zooms, and so does the wheel with the shift key."""
    made = figure(
        x_range=x_range,
        y_range=y_range,
        height=height,
        sizing_mode="stretch_width",
        x_axis_type="datetime",
        min_border_left=_LEFT,
        min_border_right=_RIGHT,
        min_border_top=4,
        min_border_bottom=4,
        tools=f"xbox_zoom,xpan,undo,redo{tools}",
        active_drag="xbox_zoom",
        toolbar_location="right",
        output_backend="canvas",
        **others,
    )
    made.add_tools(WheelZoomTool(dimensions="width", modifiers="shift"))
    made.toolbar.logo = None
    made.toolbar.autohide = True
    made.xaxis.formatter = DatetimeTickFormatter(
        seconds="%H:%M:%S",
        minsec="%H:%M:%S",
        minutes="%H:%M",
        hourmin="%H:%M",
        hours="%H:%M",
        days="%d %b",
        months="%b %Y",
        years="%Y",
        context=_context(),
    )
    made.xgrid.grid_line_color = None
    made.outline_line_color = "#c8ced4"
    for axis in (*made.xaxis, *made.yaxis):
        axis.axis_line_color = "#c8ced4"
        axis.minor_tick_line_color = None
        axis.major_tick_line_color = "#9aa4ae"
        axis.major_label_text_font_size = "11px"
        axis.axis_label_text_font_size = "11px"
        axis.axis_label_text_font_style = "normal"
    return made


def _context() -> DatetimeTickFormatter:
    """What is written below the first tick: the date where ticks are hours, the year where they are days."""
    below_a_day = ("microseconds", "milliseconds", "seconds", "minsec", "minutes", "hourmin", "hours")
    return DatetimeTickFormatter(**dict.fromkeys(below_a_day, "%d %b %Y"), days="%Y", months="", years="")


class Note:
    """A sentence in a figure that says why nothing is drawn; hidden while it is empty.

    Parameters
    ----------
    letters
        Of a line, so that it fits.
    below
        Pixels of the figure's height that its axis takes.
    """

    def __init__(self, made: Any, letters: int, *, below: int = 8) -> None:
        self._letters = letters
        self._label = Label(
            x=14,
            y=(made.height - below) // 2,
            x_units="screen",
            y_units="screen",
            text="",
            text_font_size="13px",
            text_color="#555f69",
            text_baseline="middle",
            visible=False,
        )
        made.add_layout(self._label)

    def say(self, text: str) -> None:
        """Show a sentence, or with an empty one none."""
        self._label.text = "\n".join(textwrap.wrap(text, self._letters)[:6])
        self._label.visible = bool(text)


class Overview:
    """Counts over time stacked by class, and below it a row a channel, on one axis of time."""

    def __init__(
        self, span: Span, channels: Sequence[str], names: Sequence[str], colours: Sequence[str]
    ) -> None:
        self.span, self.channels = span, tuple(channels)
        self._names, self._colours = tuple(names), tuple(colours)
        self.x_range = time_range(span, span)
        self.counts = self._make_counts()
        self.rows = self._make_rows()
        self.note, self.rows_note = Note(self.counts, 110, below=30), Note(self.rows, 110)

    def _make_counts(self) -> Any:
        made = bare_figure(self.x_range, 200, Range1d(0, 1, min_interval=1e-9), tools=",reset")
        names = ("x", "from", "bottom", "top", "colour", "name", "n")
        self._bars = ColumnDataSource({name: [] for name in names}, name="counts")
        self._drawn = made.vbar(
            x="x", width=1.0, bottom="bottom", top="top", color="colour", line_width=0, source=self._bars
        )
        made.add_tools(
            HoverTool(
                tooltips=[("class", "@name"), ("windows", "@n{0,0}"), ("from", "@from{%F %H:%M}")],
                formatters={"@from": "datetime"},
            )
        )
        made.ygrid.grid_line_color = "#eef1f4"
        made.xaxis.visible = False
        made.yaxis.axis_label = "windows"
        made.yaxis.formatter = NumeralTickFormatter(format="0,0")
        made.yaxis.ticker.min_interval = 1
        return made

    def _make_rows(self) -> Any:
        n = max(1, len(self.channels))
        height = 44 + n * (30 if n <= 6 else 20 if n <= 16 else 14)
        made = bare_figure(
            self.x_range, height, Range1d(0, n, bounds=(0, n)), tools=",reset", x_axis_location="above"
        )
        self._image = ColumnDataSource({"image": [], "x": [], "y": [], "dw": [], "dh": []}, name="timeline")
        made.image_rgba(image="image", x="x", y="y", dw="dw", dh="dh", source=self._image)
        places = [n - 0.5 - row for row in range(len(self.channels))]
        made.yaxis.ticker = FixedTicker(ticks=places)
        made.yaxis.major_label_overrides = dict(zip(places, self.channels, strict=True))
        made.yaxis.major_tick_line_color = None
        made.ygrid.grid_line_color = None
        self._mark = BoxAnnotation(
            fill_color=None, line_color=MARK, line_alpha=0.9, line_width=2, visible=False, level="overlay"
        )
        made.add_layout(self._mark)
        return made

    def show(self, found: Counts, chosen: Sequence[int]) -> None:
        """Draw what has been counted so far, of the classes chosen."""
        self._show_bars(found, chosen)
        image = painted_rows(found.table, self._colours, chosen, _ROW_POINTS)
        self._show_image(image, found.bins, len(found.channels))

    def show_stored(self, share: npt.NDArray[np.float64], bins: Bins) -> None:
        """Draw which part of each bin the cube has stored, where nothing is labelled; shape (row, bin)."""
        level = np.repeat(share[::-1], _ROW_POINTS, axis=0)
        image = np.where(level > 0, packed(UNLABELLED_COLOUR), np.uint32(0)).astype(np.uint32)
        self._show_image(image, bins, len(share))

    def mark(self, row: int | None, span: Span) -> None:
        """Frame what is looked at in detail."""
        self._mark.visible = row is not None
        if row is not None:
            n = len(self.channels)
            self._mark.update(
                left=float(milliseconds(span.start_ns)),
                right=float(milliseconds(span.end_ns)),
                bottom=n - row - 1,
                top=n - row,
            )

    def row_at(self, y: float) -> int:
        """The row of the timeline at a height."""
        return min(len(self.channels) - 1, max(0, int(len(self.channels) - y)))

    def _show_bars(self, found: Counts, chosen: Sequence[int]) -> None:
        counts = found.table.sum(axis=0, dtype=np.int64)
        order = sorted(chosen, key=lambda k: int(counts[:, k].sum()))
        own = counts[:, order]
        top = np.cumsum(own, axis=1)
        place, which = np.nonzero(own)
        begin = milliseconds(found.bins.start_ns + place * found.bins.length_ns)
        width = float(milliseconds(found.bins.length_ns))
        self._bars.data = {
            "x": begin + width / 2,
            "from": begin,
            "bottom": (top - own)[place, which],
            "top": top[place, which],
            "colour": [self._colours[order[k]] for k in which],
            "name": [self._names[order[k]] for k in which],
            "n": own[place, which],
        }
        self._drawn.glyph.width = width * (0.94 if found.bins.number < 200 else 1.0)
        self.counts.y_range.update(start=0, end=max(1.0, 1.05 * float(top.max(initial=0))))
        self.counts.yaxis.axis_label = f"windows per {length_text(found.bins.length_ns)}"
        self.note.say("" if place.size else "no window of the chosen classes in this time")

    def _show_image(self, image: npt.NDArray[np.uint32], bins: Bins, n_rows: int) -> None:
        # A hair of white between rows.
        image.reshape(n_rows, _ROW_POINTS, -1)[:, -2:] = 0
        self._image.data = {
            "image": [image],
            "x": [float(milliseconds(bins.start_ns))],
            "y": [0],
            "dw": [float(milliseconds(bins.number * bins.length_ns))],
            "dh": [n_rows],
        }

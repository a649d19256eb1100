"""The figures of one channel over a short span, and small pictures of windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from bokeh.models import (
    BasicTicker,
    BoxAnnotation,
    ColorBar,
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearColorMapper,
    NumeralTickFormatter,
    Range1d,
)
from bokeh.palettes import Magma256, RdBu11
from bokeh.plotting import figure

from scaledec.explore.detail import Picture, Windows
from scaledec.explore.figures import MARK, Note, bare_figure, milliseconds, time_range
from scaledec.explore.opened import Span
from scaledec.explore.waveform import Trace
from scaledec.report.palette import UNLABELLED_COLOUR

__all__ = ["Detail", "window_figure"]

_OTHERS = "#c9d1d9"
# A bar of an event is at least this part of the figure wide.
_LEAST_SHARE = 400
_COLUMNS = ("left", "right", "confidence", "colour", "name", "distance", "from")


class Detail:
    """Three figures on one axis of time."""

    def __init__(
        self, span: Span, bounds: Span, names: Sequence[str], colours: Sequence[str], unit: str
    ) -> None:
        self._names, self._colours = tuple(names), tuple(colours)
        self.x_range = time_range(span, bounds)
        self.labels = self._make_labels()
        self.spectrogram = self._make_spectrogram(unit)
        self.trace = self._make_trace()
        self.label_note, self.spectrogram_note, self.trace_note = (
            Note(one, 72, below=below)
            for one, below in ((self.labels, 8), (self.spectrogram, 8), (self.trace, 62))
        )
        self._marks = [self._add_mark(one) for one in (self.labels, self.spectrogram, self.trace)]

    def _make_labels(self) -> Any:
        made = bare_figure(self.x_range, 120, Range1d(-0.32, 1.04))
        self._windows = ColumnDataSource({name: [] for name in _COLUMNS}, name="windows")
        edges = {"left": "left", "right": "right", "color": "colour", "line_width": 0}
        strip = made.quad(bottom=-0.3, top=-0.06, source=self._windows, **edges)
        bars = made.quad(bottom=0, top="confidence", source=self._windows, **edges)
        made.add_tools(
            HoverTool(
                renderers=[strip, bars],
                tooltips=[
                    ("class", "@name"),
                    ("from", "@from{%F %T}"),
                    ("confidence", "@confidence{0.00}"),
                    ("distance", "@distance{0.00}"),
                ],
                formatters={"@from": "datetime"},
            )
        )
        made.xaxis.visible = False
        made.yaxis.ticker = FixedTicker(ticks=[-0.18, 0, 0.5, 1])
        made.yaxis.major_label_overrides = {-0.18: "class", 0: "0", 0.5: "0.5", 1: "1"}
        made.yaxis.axis_label = "confidence"
        made.ygrid.grid_line_color = "#eef1f4"
        return made

    def _make_spectrogram(self, unit: str) -> Any:
        made = bare_figure(self.x_range, 240, Range1d(0, 1))
        self._mapper = LinearColorMapper(palette=Magma256, low=0, high=1, nan_color="#f3f4f6")
        self._image = ColumnDataSource(
            {"image": [], "x": [], "y": [], "dw": [], "dh": []}, name="spectrogram"
        )
        made.image(
            image="image", x="x", y="y", dw="dw", dh="dh", source=self._image, color_mapper=self._mapper
        )
        bar = ColorBar(
            color_mapper=self._mapper,
            width=10,
            title=unit,
            title_text_font_size="10px",
            title_text_font_style="normal",
            major_label_text_font_size="10px",
            ticker=BasicTicker(desired_num_ticks=4),
            padding=4,
        )
        made.add_layout(bar, "right")
        self._bar = bar
        made.xaxis.visible = False
        made.yaxis.axis_label = "frequency (Hz)"
        return made

    def _make_trace(self) -> Any:
        made = bare_figure(self.x_range, 170, Range1d(-1, 1))
        self._line = ColumnDataSource({"x": [], "y": []}, name="samples")
        made.line("x", "y", source=self._line, line_width=0.8, color="#26323d")
        made.xaxis.axis_label = "time (UTC)"
        made.yaxis.axis_label = "counts"
        made.yaxis.formatter = NumeralTickFormatter(format="0.[000]a")
        made.ygrid.grid_line_color = "#eef1f4"
        return made

    def _add_mark(self, made: Any) -> BoxAnnotation:
        mark = BoxAnnotation(
            fill_alpha=0.0, line_color=MARK, line_alpha=0.9, line_width=2, visible=False, level="overlay"
        )
        made.add_layout(mark)
        return mark

    def show_windows(self, found: Windows | None, chosen: Sequence[int]) -> None:
        """Draw a bar a window; ``None``: they are too many."""
        if found is None or not len(found):
            self._windows.data = {name: [] for name in _COLUMNS}
            why = "no window starts in this time" if found is not None else "zoom in to see single windows"
            self.label_note.say(why)
            return
        kept = set(chosen)
        palette = [colour if k in kept else _OTHERS for k, colour in enumerate(self._colours)]
        label = np.where((found.label >= 0) & (found.label < len(palette)), found.label, len(palette))
        begin = milliseconds(found.start_ns)
        self._windows.data = {
            "left": begin,
            "right": begin + self._width_ms(found),
            "confidence": np.nan_to_num(found.confidence),
            "colour": np.array([*palette, UNLABELLED_COLOUR])[label],
            "name": np.array([*self._names, "no label"])[label],
            "distance": found.distance,
            "from": begin,
        }
        self.label_note.say("")

    def _width_ms(self, found: Windows) -> float:
        """Of a window's bar; single events of a day would be too thin to see."""
        own = float(milliseconds(found.step_ns))
        if not found.of_events:
            return own
        return max(own, float(self.x_range.end - self.x_range.start) / _LEAST_SHARE)

    def show_picture(self, picture: Picture) -> None:
        """Draw a spectrogram, or say why there is none."""
        low, high = picture.frequency_hz
        self.spectrogram.y_range.update(start=low, end=high)
        self.spectrogram_note.say(picture.problem)
        self._bar.visible = self.spectrogram.yaxis.visible = not picture.problem
        if picture.problem:
            self._image.data = {"image": [], "x": [], "y": [], "dw": [], "dh": []}
            return
        self._mapper.update(low=picture.colour_range[0], high=picture.colour_range[1])
        self._image.data = {
            "image": [picture.power_db],
            "x": [float(milliseconds(picture.span.start_ns))],
            "y": [low],
            "dw": [float(milliseconds(picture.span.length_ns))],
            "dh": [high - low],
        }

    def show_trace(self, trace: Trace) -> None:
        """Draw samples, or say why there are none."""
        self._line.data = {"x": milliseconds(trace.time_ns), "y": trace.value}
        self.trace_note.say(trace.problem)
        self.trace.yaxis.visible = not trace.problem
        if not trace.problem:
            reach = max(1e-12, 1.05 * float(np.nanmax(np.abs(trace.value))))
            self.trace.y_range.update(start=-reach, end=reach)

    def mark(self, start_ns: int | None, length_ns: int = 0) -> None:
        """Frame a window in all three figures."""
        for mark in self._marks:
            mark.visible = start_ns is not None
            if start_ns is not None:
                left = float(milliseconds(start_ns))
                mark.update(left=left, right=left + float(milliseconds(length_ns)))


def window_figure(
    power: npt.NDArray[np.float32],
    length_s: float,
    frequency_hz: tuple[float, float],
    *,
    normalised: bool,
    frame_colour: str,
    size: tuple[int, int],
) -> Any:
    """A small picture of one window; components lie one above another, the first at the top.

    Parameters
    ----------
    power
        Shape ([plane,] frame, frequency).
    length_s
        Of the window.
    frequency_hz
        Lower and upper edge.
    normalised
        Whether it is what the network made, whose zero means something; otherwise decibels.
    frame_colour
        Of its frame: the class's.
    size
        Width and height in pixels.
    """
    planes = power if power.ndim == 3 else power[np.newaxis]
    image = np.concatenate([plane.T for plane in planes[::-1]], axis=0)
    low, high = frequency_hz
    made = figure(
        width=size[0],
        height=size[1],
        x_range=Range1d(0, length_s),
        y_range=Range1d(low, low + (high - low) * len(planes)),
        tools="",
        toolbar_location=None,
        min_border=2,
        outline_line_color=frame_colour,
        outline_line_width=3,
    )
    finite = image[np.isfinite(image)]
    if normalised:
        edge = max(1e-6, float(np.percentile(np.abs(finite), 99.5))) if finite.size else 1.0
        mapper = LinearColorMapper(palette=RdBu11, low=-edge, high=edge)
    else:
        limits = np.percentile(finite, (5.0, 99.5)) if finite.size else (0.0, 1.0)
        mapper = LinearColorMapper(
            palette=Magma256, low=float(limits[0]), high=max(float(limits[0]) + 1, float(limits[1]))
        )
    made.image(
        image=[np.ascontiguousarray(image, np.float32)],
        x=0,
        y=low,
        dw=length_s,
        dh=(high - low) * len(planes),
        color_mapper=mapper,
    )
    made.grid.grid_line_color = None
    for axis in (*made.xaxis, *made.yaxis):
        axis.minor_tick_line_color = None
        axis.major_label_text_font_size = "9px"
        axis.axis_label_text_font_size = "9px"
        axis.axis_label_text_font_style = "normal"
        axis.axis_line_color = None
        axis.ticker = BasicTicker(desired_num_ticks=4)
    made.yaxis.visible = len(planes) == 1
    return made

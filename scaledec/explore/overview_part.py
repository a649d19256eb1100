"""The upper part of the page: counts and timeline of the channels, time and classes chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn
from bokeh.events import Tap

from scaledec.explore.background import Background
from scaledec.explore.counts import Bins, Counts, choose_bins, count_classes, stored_share
from scaledec.explore.figures import Overview, milliseconds
from scaledec.explore.opened import Opened, OpenedRun, Span
from scaledec.explore.side import ChannelChoice, ClassChoice, TimeChoice
from scaledec.explore.style import caption, hint, text
from scaledec.explore.turns import Later

__all__ = ["OverviewPart"]

_NS_PER_MS = 1_000_000
# Of a timeline, in pixels; beyond, it scrolls by itself.
_MOST_HEIGHT = 420
# Bins of fewer windows would have one more or one less by turns.
_WINDOWS_PER_BIN = 20


class OverviewPart:
    """Choices at the side, and the two figures that follow them.

    Parameters
    ----------
    run
        ``None`` where nothing is labelled: then the timeline shows what the cube holds.
    picked
        Called with the channel and the instant that were clicked in the timeline.
    chosen
        Called when other classes were chosen.
    """

    def __init__(
        self,
        opened: Opened,
        run: OpenedRun | None,
        background: Background,
        *,
        picked: Callable[[int, int], None],
        chosen: Callable[[], None],
    ) -> None:
        self._opened, self._run, self._background = opened, run, background
        self._picked, self._chosen = picked, chosen
        self._all = opened.channels(run)
        self._bounds = opened.span(run)
        self._marked: tuple[int, Span] | None = None
        self._found: Counts | None = None
        self._zoomed = Later(self._count)
        self._channels = ChannelChoice(self._all, self._rebuild)
        self._time = TimeChoice(self._bounds, self._set_span)
        self._classes = None if run is None else ClassChoice(run.names, run.colours, self._reclassed)
        self._status = text("", sizing_mode="stretch_width")
        self._figures = pn.Column(sizing_mode="stretch_width")
        self.side = pn.Column(self._channels.view, self._time.view, self._class_view(), width=250)
        self.view = pn.Column(self._status, self._figures, sizing_mode="stretch_width")
        self._rebuild()

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes with a colour of their own."""
        return () if self._classes is None else self._classes.chosen

    def mark(self, channel_index: int, span: Span) -> None:
        """Frame what is looked at in detail."""
        self._marked = channel_index, span
        rows = self._channels.indices
        self._overview.mark(rows.index(channel_index) if channel_index in rows else None, span)

    def _class_view(self) -> Any:
        if self._classes is not None:
            return self._classes.view
        words = (
            "The labels of this run cannot be read: see above."
            if self._opened.runs
            else "No labels below this root yet: `scaledec run CONFIG` makes them."
        )
        return pn.Column(caption("Classes"), text(hint(words), sizing_mode="stretch_width"))

    def _rebuild(self) -> None:
        """Figures for the channels chosen now, over the time shown before."""
        span = self._span if hasattr(self, "_overview") else self._bounds
        names = [str(self._all[index]) for index in self._channels.indices]
        run = self._run
        self._overview = Overview(
            self._bounds, names, () if run is None else run.names, () if run is None else run.colours
        )
        self._overview.x_range.update(
            start=float(milliseconds(span.start_ns)), end=float(milliseconds(span.end_ns))
        )
        for name in ("start", "end"):
            self._overview.x_range.on_change(name, lambda attribute, old, new: self._zoomed())
        self._overview.rows.on_event(Tap, self._tapped)
        shown = [self._overview.rows] if run is None else [self._overview.counts, self._overview.rows]
        rows = pn.pane.Bokeh(self._overview.rows, sizing_mode="stretch_width")
        tall = self._overview.rows.height > _MOST_HEIGHT
        timeline = (
            pn.Column(rows, sizing_mode="stretch_width", height=_MOST_HEIGHT, scroll=True) if tall else rows
        )
        counts = (
            [pn.pane.Bokeh(self._overview.counts, sizing_mode="stretch_width")] if len(shown) == 2 else []
        )
        self._figures.objects = [*counts, timeline]
        if self._marked is not None:
            self.mark(*self._marked)
        self._count()

    @property
    def _span(self) -> Span:
        x = self._overview.x_range
        return Span(round(x.start * _NS_PER_MS), round(x.end * _NS_PER_MS)).clipped(self._bounds)

    def _set_span(self, span: Span) -> None:
        start, end = float(milliseconds(span.start_ns)), float(milliseconds(span.end_ns))
        self._overview.x_range.update(start=start, end=end)

    def _count(self) -> None:
        span = self._span
        self._time.show(span)
        run, cube, rows = self._run, self._opened.cube, self._channels.indices
        if run is not None:
            bins = choose_bins(span, least_ns=_WINDOWS_PER_BIN * run.step_ns)
            self._background.ask("counts", lambda: count_classes(run, rows, bins), self._tell)
            return
        assert cube is not None
        bins = choose_bins(span, least_ns=cube.segment_ns)

        def look() -> Iterator[tuple[npt.NDArray[np.float64], Bins]]:
            yield stored_share(cube, rows, bins), bins

        self._background.ask("counts", look, lambda found: self._overview.show_stored(*found))
        self._status.object = "Grey: spectrograms that the cube holds. Click to look at them."

    def _tell(self, found: Counts) -> None:
        self._found = found
        windows = found.table.sum(axis=(0, 1), dtype=np.int64).tolist()
        if self._classes is not None:
            self._classes.tell(windows[:-1])
        self._overview.show(found, self.classes)
        self._status.object = _told(found, sum(windows[:-1]), windows[-1])

    def _reclassed(self) -> None:
        if self._found is not None:
            self._overview.show(self._found, self.classes)
        self._chosen()

    def _tapped(self, event: Any) -> None:
        rows = self._channels.indices
        if rows and event.x is not None:
            self._picked(rows[self._overview.row_at(event.y)], round(event.x * _NS_PER_MS))


def _told(found: Counts, labelled: int, unlabelled: int) -> str:
    counted = f"{labelled:,} windows with a label" + (
        f", {unlabelled:,} without (grey)" if unlabelled else ""
    )
    if found.share_read < 1:
        return f"<b>counting: {found.share_read:.0%} read</b>; so far {counted}"
    return (
        f"{counted}. Height of a colour: its share of the windows of that moment. "
        "Drag to zoom, shift + wheel too; click a row to see that day."
    )

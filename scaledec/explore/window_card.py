"""The cards beside a day: the window that was clicked, and the class it belongs to."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import panel as pn

from scaledec.explore.background import Background
from scaledec.explore.cards import ClassCard, Place, class_card, neighbour, window_power
from scaledec.explore.detail import Windows, read_windows
from scaledec.explore.detail_figures import window_figure
from scaledec.explore.opened import Opened, OpenedRun, Span
from scaledec.explore.style import caption, hint, small, text
from scaledec.report.palette import UNLABELLED_COLOUR
from scaledec.vocabulary import WindowState, format_time

__all__ = ["WindowCard"]

_WHY = {
    WindowState.NOT_LABELLED: "labelling has not come to it",
    WindowState.NO_DATA: "nothing was recorded",
    WindowState.LOW_COVERAGE: "too few real samples",
    WindowState.NOT_FINITE: "a value of its power is not finite",
    WindowState.COMPONENT_MISSING: "a component is missing",
    WindowState.NO_EVENT: "there is no event",
    WindowState.LABELLED: "",
}
_LARGE = 160, 140
_SMALL = 160, 112


@dataclass(frozen=True, slots=True, eq=False)
class _Facts:
    windows: Windows
    index: int
    place: Place
    power: npt.NDArray[np.float32] | str
    prototype: npt.NDArray[np.float32] | None

    @property
    def label(self) -> int:
        return int(self.windows.label[self.index])


class WindowCard:
    """What is known of one window, with the way to the next of its kind; below it the class.

    Parameters
    ----------
    go
        Called with a window that another part of the page should move to.
    """

    def __init__(
        self, opened: Opened, run: OpenedRun, background: Background, go: Callable[[Place], None]
    ) -> None:
        self._opened, self._run, self._background, self._go = opened, run, background, go
        self._place: Place | None = None
        self._label = -1
        self._facts = text(
            hint("Click a window in the strip, the spectrogram or the waveform."),
            sizing_mode="stretch_width",
        )
        self._pictures = pn.Row()
        self._before = pn.widgets.Button(name="◀ previous of its class", disabled=True, width=158)
        self._after = pn.widgets.Button(name="next of its class ▶", disabled=True, width=158)
        self._before.on_click(lambda event: self._step(-1))
        self._after.on_click(lambda event: self._step(1))
        options = {name: k for k, name in enumerate(run.names)}
        self._class = pn.widgets.Select(options=options, sizing_mode="stretch_width")
        self._class.param.watch(lambda event: self._show_class(), "value")
        self._gallery = pn.Column(sizing_mode="stretch_width")
        self.view = pn.Column(
            caption("Window"),
            self._facts,
            self._pictures,
            pn.Row(self._before, self._after),
            caption("Class"),
            self._class,
            self._gallery,
            width=356,
        )
        self._show_class()

    def show(self, place: Place) -> None:
        """Show a window; its class's card follows."""
        self._place = place
        self._background.ask("window", lambda: self._read(place), self._tell)

    def _read(self, place: Place) -> Iterator[_Facts | None]:
        found = read_windows(self._run, place.channel_index, Span(place.start_ns, place.start_ns + 1))
        if found is None or not len(found):
            yield None
            return
        prototype = None
        if found.label[0] >= 0:
            values = self._run.dataset["prototype"].isel(cluster=int(found.label[0])).to_numpy()
            prototype = np.asarray(values, np.float32)
        yield _Facts(found, 0, place, window_power(self._opened, self._run, place), prototype)

    def _tell(self, facts: _Facts | None) -> None:
        if facts is None:
            self._facts.object = hint("There is no window here any more.")
            return
        self._label = facts.label
        self._facts.object = _table(self._rows(facts))
        self._before.disabled = self._after.disabled = self._label < 0
        pictures = []
        if isinstance(facts.power, str):
            pictures.append(text(hint(facts.power), width=_LARGE[0]))
        else:
            pictures.append(self._picture("this window (dB)", facts.power, self._label, _LARGE))
        if facts.prototype is not None:
            pictures.append(
                self._picture("its class's prototype", facts.prototype, self._label, _LARGE, True)
            )
        self._pictures.objects = pictures
        if self._label >= 0 and self._class.value != self._label:
            self._class.value = self._label

    def _rows(self, facts: _Facts) -> list[tuple[str, str]]:
        found, i = facts.windows, facts.index
        start = format_time(int(found.start_ns[i]))
        rows = [
            ("channel", str(self._run.channels[facts.place.channel_index])),
            ("starts", start.replace("T", " ") + " UTC"),
            ("length", f"{found.length_ns / 1e9:g} s"),
        ]
        if facts.label < 0:
            return [*rows, ("class", f"no label: {_WHY[WindowState(found.state[i])]}")]
        rows += [
            ("class", self._run.names[facts.label]),
            ("confidence", f"{found.confidence[i]:.3f}"),
            ("distance", f"{found.distance[i]:.3g}"),
            ("outlier", f"{found.outlier[i]:.3g} (above 1: beyond all training windows)"),
        ]
        return rows

    def _step(self, step: int) -> None:
        place, label = self._place, self._label
        if place is None or label < 0:
            return
        self._before.disabled = self._after.disabled = True

        def look() -> Iterator[Place | None]:
            yield neighbour(self._run, place, label, step)

        self._background.ask("step", look, lambda found: self._stepped(found, step))

    def _stepped(self, found: Place | None, step: int) -> None:
        self._before.disabled = self._after.disabled = False
        if found is None:
            button = self._after if step > 0 else self._before
            button.disabled = True
            return
        self._go(found)

    def _show_class(self) -> None:
        label = int(self._class.value)
        self._gallery.objects = [text(hint("looking for typical windows ..."))]

        def look() -> Iterator[tuple[ClassCard, list[npt.NDArray[np.float32] | str]]]:
            card = class_card(self._run, label)
            yield card, [window_power(self._opened, self._run, place) for place, _ in card.nearest]

        self._background.ask("class", look, lambda found: self._tell_class(label, *found))

    def _tell_class(self, label: int, card: ClassCard, powers: list[npt.NDArray[np.float32] | str]) -> None:
        pictures = [self._picture("prototype", card.prototype, label, _SMALL, True)]
        for (place, distance), power in zip(card.nearest, powers, strict=True):
            pictures.append(self._nearest(label, place, distance, power))
        rows = [pn.Row(*pictures[i : i + 2]) for i in range(0, len(pictures), 2)]
        self._gallery.objects = [text(hint(_told(card, powers)), sizing_mode="stretch_width"), *rows]

    def _nearest(
        self, label: int, place: Place, distance: float, power: npt.NDArray[np.float32] | str
    ) -> Any:
        station = self._run.channels[place.channel_index].station
        start = format_time(place.start_ns // 10**9 * 10**9).replace("T", " ")[2:]
        go = pn.widgets.Button(
            name=f"{station} {start}", button_type="light", width=_SMALL[0], height=28, margin=(0, 5)
        )
        go.on_click(lambda event: self._go(place))
        if isinstance(power, str):
            return pn.Column(text(small(f"distance {distance:.3g}"), margin=(2, 5, 0, 5)), go, margin=0)
        picture = self._picture(f"distance {distance:.3g}", power, label, _SMALL)
        return pn.Column(picture, go, margin=0)

    def _picture(
        self,
        title: str,
        power: npt.NDArray[np.float32],
        label: int,
        size: tuple[int, int],
        normalised: bool = False,
    ) -> Any:
        windows, frequency = self._run.store.windows, self._run.store.grid.frequency_hz
        made = window_figure(
            power,
            windows.length_s,
            (float(frequency[0]), float(frequency[-1])),
            normalised=normalised,
            frame_colour=self._run.colours[label] if label >= 0 else UNLABELLED_COLOUR,
            size=size,
        )
        planes = self._run.store.planes
        heading = text(small(f"{title}: {', '.join(planes)}" if planes else title), margin=(2, 5, 0, 5))
        return pn.Column(heading, pn.pane.Bokeh(made, margin=(0, 5)), margin=0)


def _told(card: ClassCard, powers: Sequence[npt.NDArray[np.float32] | str]) -> str:
    """What the gallery shows, and once why pictures are missing."""
    if not card.nearest:
        return "no window has this label"
    among = f"{card.looked_at:,} windows" + ("" if card.is_all else " in shards spread over the archive")
    missing = sorted({power for power in powers if isinstance(power, str)})
    return "; ".join([f"nearest to the centroid among {among}", *missing])


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>" for name, value in rows
    )
    return f"<table class='facts'>{cells}</table>"

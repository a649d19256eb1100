"""The page: an overview, a detail of it, and cards beside; what is clicked in one moves the others."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import panel as pn

from scaledec.errors import ScaledecError
from scaledec.explore.background import Background
from scaledec.explore.cards import Place
from scaledec.explore.detail_part import DetailPart
from scaledec.explore.opened import Opened, Span
from scaledec.explore.overview_part import OverviewPart
from scaledec.explore.style import problem, text
from scaledec.explore.window_card import WindowCard

__all__ = ["make_page"]


def make_page(opened: Opened, started: Callable[[Background], None]) -> Any:
    """A new page on an open root, for a new session; ``started`` is told what works for it."""
    document = pn.state.curdoc
    document.template_variables["app_favicon"] = "data:,"
    background = Background(document)
    started(background)
    pn.state.on_session_destroyed(lambda context: background.close())
    return _Page(opened, background).view


class _Page:
    def __init__(self, opened: Opened, background: Background) -> None:
        self._opened, self._background = opened, background
        background.failed = self._failed
        self._choice = pn.widgets.Select(name="Run", options=list(opened.runs), sizing_mode="stretch_width")
        self._choice.visible = bool(opened.runs)
        self._choice.param.watch(lambda event: self._open(), "value")
        self._problem = text("", visible=False, sizing_mode="stretch_width")
        self._side = pn.Column(width=262)
        self._main = pn.Column(sizing_mode="stretch_width")
        heading = f"<div class='head'><b>scaledec</b> {html.escape(opened.title)}</div>"
        self.view = pn.Column(
            text(heading, sizing_mode="stretch_width"),
            self._problem,
            pn.Row(pn.Column(self._choice, self._side, width=272), self._main, sizing_mode="stretch_width"),
            sizing_mode="stretch_width",
        )
        self._open()

    def _open(self) -> None:
        """Show the run chosen; names given to classes since are read anew."""
        self._say("")
        try:
            run = self._opened.run(self._choice.value) if self._choice.value else None
        except ScaledecError as error:
            self._say(str(error))
            run = None
            if self._opened.cube is None:
                self._side.objects, self._main.objects = [], []
                return
        self._overview = OverviewPart(
            self._opened, run, self._background, picked=self._picked, chosen=self._reclassed
        )
        self._detail = DetailPart(
            self._opened,
            run,
            self._background,
            classes=lambda: self._overview.classes,
            moved=self._moved,
            picked=self._show,
        )
        self._card = None if run is None else WindowCard(self._opened, run, self._background, self._show)
        lower = [self._detail.view] + ([] if self._card is None else [self._card.view])
        self._side.objects = [self._overview.side]
        self._main.objects = [self._overview.view, pn.Row(*lower, sizing_mode="stretch_width")]

    def _picked(self, channel_index: int, time_ns: int) -> None:
        self._detail.go_near(channel_index, time_ns)

    def _moved(self, channel_index: int, span: Span) -> None:
        self._overview.mark(channel_index, span)

    def _show(self, place: Place) -> None:
        self._detail.show_window(place)
        if self._card is not None:
            self._card.show(place)

    def _reclassed(self) -> None:
        self._detail.reclassed()

    def _failed(self, name: str, error: BaseException) -> None:
        reason = str(error) if isinstance(error, ScaledecError) else f"{type(error).__name__}: {error}"
        self._say(f"{name}: {reason}")

    def _say(self, words: str) -> None:
        self._problem.object = problem(words)
        self._problem.visible = bool(words)

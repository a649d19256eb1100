"""The table of numbers of clusters as text, CSV and a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scaledec.report.canvas import new_figure, save_figure
from scaledec.stages.select_k import KSelection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_selection", "selection_figure", "selection_table", "write_selection_csv"]

_TITLES = {
    "inertia": "inertia",
    "silhouette": "silhouette",
    "gap_uniform": "gap, uniform reference",
    "gap_pca": "gap, reference along principal axes",
    "bic": "BIC of the mixture",
    "stability_bootstrap": "stability (ARI)",
}
_LINE, _SECOND, _CHOSEN = "#2a5d8f", "#c2702c", "#b03030"


def selection_table(found: KSelection) -> str:
    """The table as text, and what each criterion prefers."""
    table = found.to_frame().to_string(float_format=lambda value: f"{value:.4g}")
    chosen = ", ".join(f"{name} {'-' if k is None else k}" for name, k in found.choices().items())
    return f"{table}\npreferred: {chosen}  ({found.n_windows} windows)"


def write_selection_csv(found: KSelection, path: Path) -> Path:
    """One line a number of clusters; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    found.to_frame().to_csv(path)
    return path


def draw_selection(path: Path, found: KSelection) -> Path:
    """Write :func:`selection_figure` as PNG."""
    return save_figure(selection_figure(found), path)


def selection_figure(found: KSelection) -> Figure:
    """Every criterion over the number of clusters; what it prefers is marked."""
    chosen = dict(found.choices())
    with new_figure((10.0, 5.6)) as figure:
        axes = figure.subplots(2, 3, sharex=True)
        for panel, (name, title) in zip(axes.ravel(), _TITLES.items(), strict=True):
            _panel(panel, found, name)
            choice = next((k for criterion, k in chosen.items() if criterion == name), None)
            if choice is not None:
                panel.axvline(choice, color=_CHOSEN, linewidth=0.8, linestyle=":")
                title = f"{title}: {choice}"
            panel.set_title(title, fontsize=9.0)
        for panel in axes[-1]:
            panel.set_xlabel("number of clusters")
        figure.tight_layout()
        return figure


def _panel(panel: Axes, found: KSelection, name: str) -> None:
    ks = [row.n_clusters for row in found.rows]
    values: Sequence[float] = [getattr(row, name) for row in found.rows]
    if name.startswith("gap"):
        errors = [getattr(row, f"{name}_error") for row in found.rows]
        panel.errorbar(ks, values, errors, color=_LINE, linewidth=1.0, marker=".", capsize=2.0)
    else:
        panel.plot(ks, values, color=_LINE, linewidth=1.0, marker=".", label="bootstraps")
    if name.startswith("stability"):
        seeds = [row.stability_seeds for row in found.rows]
        panel.plot(ks, seeds, color=_SECOND, linewidth=1.0, marker=".", label="seeds")
        panel.legend(frameon=False, fontsize=8.0)

"""One window as a panel of a figure; several components lie one above another, the first at the top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["name_planes", "show_window"]


def show_window(
    axes: Axes,
    power: npt.NDArray[Any],
    frame_s: npt.NDArray[np.float64],
    frequency_hz: npt.NDArray[np.float64],
    low: float,
    high: float,
    colours: str,
) -> Any:
    """Draw a window ([plane,] frame, frequency) between two values of a colour map; return the image."""
    if power.ndim == 3:
        return _show_stack(axes, power, frame_s, (low, high), colours)
    step_s, step_hz = frame_s[1] - frame_s[0], frequency_hz[1] - frequency_hz[0]
    extent = (
        float(frame_s[0]),
        float(frame_s[-1] + step_s),
        float(frequency_hz[0] - step_hz / 2),
        float(frequency_hz[-1] + step_hz / 2),
    )
    return axes.imshow(
        np.asarray(power, dtype=np.float32).T,
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=low,
        vmax=high,
        cmap=colours,
        interpolation="nearest",
    )


def _show_stack(
    axes: Axes,
    power: npt.NDArray[Any],
    frame_s: npt.NDArray[np.float64],
    limits: tuple[float, float],
    colours: str,
) -> Any:
    """Draw a window (plane, frame, frequency); each plane takes a unit of the vertical axis."""
    n_planes, n_frames, n_frequencies = power.shape
    # Rows from the bottom up: the last plane's frequencies first.
    image = power[::-1].transpose(0, 2, 1).reshape(n_planes * n_frequencies, n_frames)
    step_s = frame_s[1] - frame_s[0]
    shown = axes.imshow(
        np.asarray(image, np.float32),
        origin="lower",
        aspect="auto",
        extent=(float(frame_s[0]), float(frame_s[-1] + step_s), 0.0, float(n_planes)),
        vmin=limits[0],
        vmax=limits[1],
        cmap=colours,
        interpolation="nearest",
    )
    for edge in range(1, n_planes):
        axes.axhline(edge, color="white", linewidth=1.2)
    return shown


def name_planes(axes: Axes, planes: Sequence[str], frequency_hz: npt.NDArray[np.float64]) -> None:
    """Write each component beside its part of the panel, and what the parts span."""
    axes.set_yticks(np.arange(len(planes)) + 0.5, labels=list(reversed(planes)))
    axes.set_ylabel(f"each {frequency_hz[0]:.3g} to {frequency_hz[-1]:.3g} Hz", labelpad=2)

"""An actor between the ranks of a training and the process that started it.

Apart from :mod:`scaledec.engines.ray_train`, so that the actor's process need not import torch.
"""

from __future__ import annotations

from typing import Any

from scaledec.errors import ScaledecError

__all__ = ["Mailbox"]


class Mailbox:
    """Holds the metrics that nobody has taken yet, and the error that ends the run."""

    def __init__(self) -> None:
        self._metrics: list[dict[str, Any]] = []
        self._error: ScaledecError | None = None

    def put(self, metrics: dict[str, Any]) -> None:
        """Add the metrics of a report."""
        self._metrics.append(metrics)

    def take(self) -> list[dict[str, Any]]:
        """The metrics that came since the last call, in order."""
        taken, self._metrics = self._metrics, []
        return taken

    def fail(self, error: ScaledecError) -> None:
        """Keep the error of a rank; the first one counts."""
        self._error = self._error or error

    def error(self) -> ScaledecError | None:
        """The error that ends the run, if there is one."""
        return self._error

"""How a remote archive is read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from scaledec.config.section import Count, Positive, Section

__all__ = ["AccessConfig"]


class AccessConfig(Section):
    """How patiently a remote archive is read; changes no result."""

    attempts: Count = 5
    """How often a request is tried in all, ever later, if its failure may pass (429, 5xx, no answer, ...)."""
    timeout_s: Positive = 60.0
    """Longest silence of the server before a request counts as failed."""
    concurrency: Count = 8
    """Requests of one process at the same time."""
    read_ahead_mb: Annotated[int, Field(ge=0)] = 64
    """Memory of a worker for objects that are fetched while it computes, and kept for the next task."""

    @property
    def read_ahead_bytes(self) -> int:
        """The same in bytes."""
        return self.read_ahead_mb * 1_000_000

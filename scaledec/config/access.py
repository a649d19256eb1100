"""How a remote archive is read."""

from __future__ import annotations

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

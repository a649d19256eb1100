"""How patient requests are; changes no result."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_ACCESS", "Access"]

# A link slower than this is as good as broken: a request's whole time is bounded by it.
_SLOWEST_BYTES_PER_S = 100_000


@dataclass(frozen=True, slots=True)
class Access:
    """How requests to one place are made.

    Examples
    --------
    >>> Access(timeout_s=60).deadline_s(12_000_000)
    180.0
    """

    attempts: int = 5
    """How often a request is tried in all."""
    timeout_s: float = 60.0
    """Longest silence of a server."""
    concurrency: int = 8
    """Requests of one process at the same time."""
    first_wait_s: float = 0.25
    """Before the second attempt; three times as long before each further one."""
    longest_wait_s: float = 60.0
    """Between two attempts, whatever the server asks for."""

    def deadline_s(self, n_bytes: int = 0) -> float:
        """Seconds that a request for this many bytes may take in all."""
        return self.timeout_s + n_bytes / _SLOWEST_BYTES_PER_S


DEFAULT_ACCESS = Access()
"""Of everything that is not configured otherwise."""

"""Dask on this machine, or on a scheduler that already runs."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal

import dask
from dask.system import CPU_COUNT
from distributed import Client, LocalCluster
from distributed.diagnostics.plugin import WorkerPlugin

from scaledec.engines.dask_engine import FuturesEngine
from scaledec.engines.dask_futures import DASHBOARD, SCHEDULER_SETTINGS, WORKER_ENVIRONMENT, Workers
from scaledec.errors import EngineError

__all__ = ["DaskEngine"]

_CONNECT_S = 10


class DaskEngine(FuturesEngine):
    """Runs tasks on Dask workers: single-threaded processes of this machine, or those of a scheduler.

    Examples
    --------
    >>> with DaskEngine(workers=2) as engine:  # doctest: +SKIP
    ...     sorted(engine.run(abs, [-1, 2]))
    [1, 2]
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        workers: int | Literal["auto"] = "auto",
        memory_limit: str = "auto",
    ) -> None:
        """Say where to run; nothing starts before the engine is entered.

        Parameters
        ----------
        address
            Of a running scheduler, e.g. ``tcp://host:8786``; ``None``: start workers on this machine, which
            listen on the loopback interface only.
        workers
            Worker processes started here; ``auto``: one a core.
        memory_limit
            Of one worker, e.g. ``2GiB``; ``auto``: an equal share of this machine's.
        """
        super().__init__(memory_limit)
        self._address = address
        self._workers = CPU_COUNT if workers == "auto" else workers

    def _connect(self, stack: ExitStack) -> Client:
        if self._address is None:
            return _start(stack, self._workers, self._memory_limit)
        return connect(stack, self._address)

    def _workers_of(self, client: Client) -> Workers:
        if self._address is not None:
            return Workers(own_scheduler=False)
        # A nanny whose worker dies while it is being started gives up; the cluster drops it after a while,
        # and asked for its full number of workers it makes another one.
        revive = partial(client.cluster.scale, self._workers)
        return Workers(own_scheduler=True, revive=revive, at_least=self._workers)


def connect(stack: ExitStack, address: str) -> Client:
    """A client of a running scheduler, closed with the stack."""
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise EngineError(
            f"no Dask scheduler answers at {address} within {_CONNECT_S} s: {error}; start one there "
            "(dask scheduler), correct compute.dask.address, or leave it empty for workers on this machine"
        ) from error
    stack.callback(client.close)
    return client


def _start(stack: ExitStack, workers: int, memory_limit: str) -> Client:
    stack.enter_context(_kept_environment())
    settings = {**SCHEDULER_SETTINGS, "distributed.nanny.pre-spawn-environ": WORKER_ENVIRONMENT}
    stack.enter_context(dask.config.set(settings))
    try:
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            memory_limit=memory_limit,
            host="127.0.0.1",
            dashboard_address=DASHBOARD,
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError) as error:
        raise EngineError(f"cannot start {workers} Dask workers on this machine: {error}") from error
    stack.callback(cluster.close)
    client = Client(cluster, set_as_default=False)
    stack.callback(client.close)
    client.register_plugin(_DeafToInterrupts())
    return client


class _DeafToInterrupts(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Ctrl-C goes to every process of the terminal; only the coordinator acts on it, and ends the workers."""

    name = "scaledec-interrupts"

    def setup(self, worker: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _kept_environment() -> Iterator[None]:
    # Dask sets the workers' environment in this process too, where Ray would inherit it later.
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in WORKER_ENVIRONMENT.keys() - before.keys():
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in WORKER_ENVIRONMENT.keys() & before.keys()})

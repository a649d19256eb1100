"""Dask inside a Ray cluster: the scheduler in this process, its workers in Ray actors of one CPU each.

So one Ray job needs no second cluster. Ray places the actors, and starts them again when they die.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import ExitStack
from typing import Any, Literal

import dask
import ray
from distributed import Client, Scheduler, SpecCluster, Worker
from distributed.security import Security

from scaledec.engines.dask_engine import FuturesEngine
from scaledec.engines.dask_futures import DASHBOARD, SCHEDULER_SETTINGS, WORKER_ENVIRONMENT, Workers
from scaledec.errors import EngineError

__all__ = ["DaskOnRayEngine"]

_FIRST_WORKER_S = 60


class DaskOnRayEngine(FuturesEngine):
    """Runs tasks on Dask workers that are actors of the Ray session this process is in."""

    def __init__(self, *, workers: int | Literal["auto"] = "auto", memory_limit: str = "auto") -> None:
        """Say how many; nothing starts before the engine is entered.

        Parameters
        ----------
        workers
            Actors of one CPU; ``auto``: as many as the Ray cluster has CPUs.
        memory_limit
            Of one worker, e.g. ``2GiB``; ``auto``: an equal share of its machine's.
        """
        super().__init__(memory_limit)
        self._workers = workers

    def _connect(self, stack: ExitStack) -> Client:
        _check_session()
        stack.enter_context(dask.config.set(SCHEDULER_SETTINGS))
        workers = _cpus() if self._workers == "auto" else self._workers
        host, security = _listening_place(workers)
        cluster = _start_scheduler(stack, host, security)
        client = Client(cluster, security=security, set_as_default=False)
        stack.callback(client.close)
        _start_workers(stack, cluster.scheduler_address, workers, self._memory_limit, security)
        _wait_for_first(client)
        return client

    def _workers_of(self, client: Client) -> Workers:
        # Ray makes dead actors again by itself.
        return Workers(own_scheduler=True)


class _WorkerActor:
    """One Dask worker in a thread of a Ray actor; made again by Ray, it joins the scheduler again."""

    def __init__(self, scheduler: str, memory_limit: str, security: Security) -> None:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        dask.config.set(SCHEDULER_SETTINGS)
        self._arguments = scheduler, memory_limit, security
        threading.Thread(target=lambda: asyncio.run(self._serve()), name="dask-worker", daemon=True).start()

    async def _serve(self) -> None:
        scheduler, memory_limit, security = self._arguments
        worker = Worker(
            scheduler,
            nthreads=1,
            memory_limit=memory_limit,
            security=security,
            dashboard=False,
            death_timeout=_FIRST_WORKER_S,
        )
        async with worker:
            await worker.finished()


def _check_session() -> None:
    if not ray.is_initialized():
        raise EngineError(
            "Dask on Ray needs a Ray session in this process; enter scaledec.engines.ray_session first, "
            "or set compute.dask.on_ray: false"
        )
    if ray.util.client.ray.is_connected():
        raise EngineError(
            "Dask on Ray cannot be driven through ray://, the workers could not reach this machine; use "
            "`scaledec submit`, which runs the coordinator inside the cluster"
        )


def _cpus() -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def _listening_place(workers: int) -> tuple[str, Security]:
    """Loopback where every actor is on this machine; else this node's address, for holders of a key only."""
    nodes = [node for node in ray.nodes() if node["Alive"]]
    if len(nodes) == 1 and workers <= _cpus():
        return "tcp://127.0.0.1", Security()
    try:
        # Whoever reaches a Dask scheduler can run code: the key is made here and goes to the actors only.
        return f"tls://{ray.util.get_node_ip_address()}", Security.temporary()
    except ImportError as error:
        raise EngineError(
            "Dask on several Ray nodes encrypts its connections, and the cryptography package is missing: "
            "pip install cryptography"
        ) from error


def _start_scheduler(stack: ExitStack, host: str, security: Security) -> SpecCluster:
    options = {
        "host": host,
        "port": 0,
        "dashboard": False,
        "dashboard_address": DASHBOARD,
        "security": security,
    }
    try:
        cluster = SpecCluster(
            workers={},
            scheduler={"cls": Scheduler, "options": options},
            security=security,
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError) as error:
        raise EngineError(f"cannot start a Dask scheduler at {host}: {error}") from error
    stack.callback(cluster.close)
    return cluster


def _start_workers(
    stack: ExitStack, scheduler: str, workers: int, memory_limit: str, security: Security
) -> None:
    actor_class: Any = ray.remote(num_cpus=1, max_restarts=-1, runtime_env={"env_vars": WORKER_ENVIRONMENT})(
        _WorkerActor
    )
    for _ in range(workers):
        actor = actor_class.remote(scheduler, memory_limit, security)
        stack.callback(ray.kill, actor, no_restart=True)


def _wait_for_first(client: Client) -> None:
    try:
        client.wait_for_workers(1, timeout=_FIRST_WORKER_S)
    except TimeoutError as error:
        free = ray.available_resources().get("CPU", 0)
        raise EngineError(
            f"no Ray actor with a Dask worker came up within {_FIRST_WORKER_S} s ({free:g} CPUs are free "
            "in the Ray cluster, each needs one); wait for other jobs to end, or lower compute.dask.workers"
        ) from error

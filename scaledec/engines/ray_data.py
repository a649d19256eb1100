"""Labelling on a Ray cluster with Ray Data: task descriptors in, label regions out.

A row of the dataset describes one task. An actor of a fixed pool reads that part of the cube itself, so no
spectrogram passes through the object store; what leaves it is the task's labels. A data sink writes them
as one region and puts the task into the ledger as soon as the region is durable: a driver that is killed
loses the tasks in flight and nothing else. Whatever Ray runs twice writes the same bytes twice.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from scaledec.config import RayConfig
from scaledec.engines.label_actors import actors_for
from scaledec.errors import EngineError, ScaledecError, StoreError
from scaledec.ledger.ledger import Ledger
from scaledec.ledger.tail import LedgerTail
from scaledec.location import Location
from scaledec.stages.label_region import LabelContext, failed, write_block
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.vocabulary import ChannelId, LabelTask, TaskResult

__all__ = ["label_with_ray"]

_WRITE_RETRIES = 3
_COORDINATOR_RETRIES = 3
# Ray keeps some kilobytes for every block; more tasks than this share blocks.
_MOST_BLOCKS = 20_000
# Writing a region takes a small part of the time of labelling it.
_ACTORS_PER_WRITER = 8
_POLL_S = 0.5

Row = dict[str, Any]


def label_with_ray(
    tasks: Sequence[LabelTask],
    context: LabelContext,
    ledger: Location,
    config: RayConfig,
    on_result: Callable[[TaskResult], None],
    *,
    memory: int = 0,
) -> None:
    """Label all tasks on the Ray session that this process is connected to.

    Parameters
    ----------
    tasks
        What to label.
    context
        Shared by all tasks; every node must be able to open its places.
    ledger
        Folder of the ledger; every writer appends to a part of its own.
    config
        Number of actors, and whether they use GPUs.
    on_result
        Called with each result soon after it is in the ledger, from another thread of this process.
    memory
        Bytes that an actor is projected to hold; no more actors are started on a node than fit it.

    Raises
    ------
    StoreError
        If the cube or the model cannot be opened, or labels cannot be written.
    EngineError
        If there is no Ray session, or Ray gave up.
    """
    if not tasks:
        return
    if not ray.is_initialized():
        raise EngineError("no Ray session is open in this process; open one with ray_session(config)")
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    n_actors, resources = actors_for(config, nodes, len(tasks), memory)
    coordinate = ray.remote(num_cpus=0, max_retries=_COORDINATOR_RETRIES)(_coordinate)
    with _results_as_they_come(ledger, tasks, on_result):
        try:
            outcome = ray.get(coordinate.remote(list(tasks), context, ledger, n_actors, resources))
        except ray.exceptions.RayError as error:
            raise _explained(error) from error
    if isinstance(outcome, ScaledecError):
        raise outcome
    if outcome != len(tasks):
        raise EngineError(
            f"Ray Data brought back {outcome} of {len(tasks)} labelling tasks; run again: what is in "
            "the ledger stays done"
        )


def _coordinate(
    tasks: list[LabelTask],
    context: LabelContext,
    ledger: Location,
    n_actors: int,
    resources: Mapping[str, float],
) -> int | ScaledecError:
    """Run the whole dataset; in a process of its own, where Ray's core may warn of what Ray Data does.

    Returns how many tasks are written, or what ended the work: returned, an error arrives as it is.
    """
    sink = _LabelSink(context, ledger)
    settings = ray.data.DataContext.get_current()
    settings.enable_progress_bars = False
    settings.raise_original_map_exception = True
    try:
        _dataset(tasks, context, n_actors, resources).write_datasink(
            sink,
            # The actors hold every core; a writer that asked for one would wait for ever.
            ray_remote_args={"num_cpus": 0, "max_retries": _WRITE_RETRIES},
            concurrency=math.ceil(n_actors / _ACTORS_PER_WRITER),
        )
    except Exception as error:  # noqa: BLE001 - raised in the driver
        return _explained(error)
    return sink.n_written


def _dataset(
    tasks: Sequence[LabelTask], context: LabelContext, n_actors: int, resources: Mapping[str, float]
) -> ray.data.Dataset:
    described = ray.data.from_items(
        [_describe(task) for task in tasks], override_num_blocks=min(len(tasks), _MOST_BLOCKS)
    )
    return described.map(
        _LabelActor,
        fn_constructor_args=(context,),
        compute=ray.data.ActorPoolStrategy(size=n_actors),
        **resources,
    )


class _LabelActor:
    """Labels one row after another with a model that is loaded once."""

    def __init__(self, context: LabelContext) -> None:
        from scaledec.stages.label import Labeller  # loads torch, which driver and writers do without

        self._labeller: Labeller | ScaledecError
        try:
            self._labeller = Labeller(context, threads=1, gpu=bool(ray.get_gpu_ids()))
        except ScaledecError as error:
            # Ray reports a failed start as text alone; raised from a task, the error arrives whole.
            self._labeller = error

    def __call__(self, row: Row) -> Row:
        if isinstance(self._labeller, ScaledecError):
            raise self._labeller
        started = time.perf_counter()
        try:
            packed, reason = _pack(self._labeller.label(_task(row))), ""
        except StoreError as error:
            packed, reason = _NOTHING, str(error)
        return {**row, **packed, "reason": reason, "label_s": time.perf_counter() - started}


class _LabelSink(ray.data.Datasink[int]):  # type: ignore[misc]  # ray publishes no types
    """Writes label regions, and says so in the ledger."""

    def __init__(self, context: LabelContext, ledger: Location) -> None:
        self._context = context
        self._ledger = ledger
        self._session = uuid.uuid4().hex
        self.n_written = 0

    def write(self, blocks: Iterable[pa.Table], ctx: object) -> int:
        """Write the regions of some tasks; each is in the ledger before the next is begun."""
        labels, ledger = _opened(self._session, self._context.labels, self._ledger)
        n_written = 0
        for row in (row for table in blocks for row in table.to_pylist()):
            ledger.append([self._write(labels, row)])
            n_written += 1
        return n_written

    def _write(self, labels: LabelStore, row: Row) -> TaskResult:
        task = _task(row)
        if row["reason"]:
            return failed(task, row["reason"])
        return write_block(labels, task, _unpack(row, task, self._context), label_s=row["label_s"])

    def on_write_complete(self, write_result: Any) -> None:
        """Keep the number of tasks that were written; called in the driver."""
        self.n_written = int(sum(write_result.write_returns))


# What a process that writes regions keeps open; of the newest run only.
_open: dict[str, tuple[LabelStore, Ledger]] = {}


def _opened(session: str, labels: Location, ledger: Location) -> tuple[LabelStore, Ledger]:
    """The label store and this process's own part of the ledger."""
    if session not in _open:
        _open.clear()
        _open[session] = LabelStore.open(labels, "r+"), Ledger(ledger)
    return _open[session]


_ARRAYS: Mapping[str, type[np.generic]] = {
    "label": np.int16,
    "confidence": np.float32,
    "distance": np.float32,
    "outlier": np.float32,
    "state": np.uint8,
    "embedding": np.float32,
    "onset": np.int64,
}
_NOTHING: Row = dict.fromkeys(_ARRAYS, b"")


def _describe(task: LabelTask) -> Row:
    return {
        "key": task.key,
        "fingerprint": task.fingerprint,
        "channel": str(task.channel),
        "channel_index": task.channel_index,
        "first_time_index": task.first_time_index,
        "stop_time_index": task.stop_time_index,
    }


def _task(row: Row) -> LabelTask:
    return LabelTask(
        row["key"],
        row["fingerprint"],
        ChannelId.parse(row["channel"]),
        row["channel_index"],
        row["first_time_index"],
        row["stop_time_index"],
    )


def _pack(block: LabelBlock) -> Row:
    """The arrays of a block as bytes, which Arrow carries whatever their shape."""
    arrays = {name: getattr(block, name) for name in _ARRAYS}
    return {name: b"" if array is None else array.tobytes() for name, array in arrays.items()}


def _unpack(row: Row, task: LabelTask, context: LabelContext) -> LabelBlock:
    shape = task.stop_time_index - task.first_time_index, context.windows.n_windows
    arrays = {name: np.frombuffer(row[name], dtype) for name, dtype in _ARRAYS.items()}
    return LabelBlock(
        channel_index=task.channel_index,
        first_time_index=task.first_time_index,
        label=arrays["label"].reshape(shape),
        confidence=arrays["confidence"].reshape(shape),
        distance=arrays["distance"].reshape(shape),
        outlier=arrays["outlier"].reshape(shape),
        state=arrays["state"].reshape(shape),
        embedding=arrays["embedding"].reshape(*shape, -1) if context.embedding else None,
        onset=arrays["onset"].reshape(shape) if row["onset"] else None,
    )


@contextmanager
def _results_as_they_come(
    ledger: Location, tasks: Sequence[LabelTask], on_result: Callable[[TaskResult], None]
) -> Iterator[None]:
    """Follow the ledger in a thread and hand on each task's result once; all of them when left."""
    wanted = {(task.key, task.fingerprint) for task in tasks}
    tail = LedgerTail(ledger)
    stop = threading.Event()
    errors: list[Exception] = []

    def hand_on() -> None:
        for result in tail.new():
            if (result.key, result.fingerprint) in wanted:
                wanted.remove((result.key, result.fingerprint))
                on_result(result)

    def follow() -> None:
        try:
            while not stop.wait(_POLL_S):
                hand_on()
            hand_on()
        except Exception as error:  # noqa: BLE001 - raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=follow, name="label-results", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    if errors:
        raise errors[0]


def _explained(error: BaseException) -> ScaledecError:
    """What a task of ours raised, if it is one of our errors; otherwise an engine error."""
    cause: BaseException | None = error
    while cause is not None:
        # Ray dresses what a task raised as an error of the same kind, whose text is its traceback.
        if isinstance(cause, ScaledecError) and not isinstance(cause, ray.exceptions.RayError):
            # Ray Data adds lines of advice on its own settings to the one sentence.
            return type(cause)(str(cause).partition("\n")[0])
        cause = getattr(cause, "cause", None) or cause.__cause__
    text = str(error).strip() or type(error).__name__
    return EngineError(
        f"labelling on Ray failed: {text.splitlines()[0]}; a task that ends its actor again and again stops "
        "the run when nothing else moves (is a node short of memory?); what is in the ledger stays done"
    )

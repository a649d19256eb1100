"""One task of the cube: read a segment of a channel, compute its power, write its shard.

What comes of a task:

``done``
    Written. A reason is given where a neighbour's file, needed for the edge alone, was unreadable; the
    task is tried again on each run all the same.
``empty``
    The archive holds no sample of the segment (or too few for one per cent of any frame). What an
    earlier run may have stored there is removed.
``failed``
    An object of the segment's own time is unreadable, or its samples cannot serve this cube (sampled
    too slowly, no response to remove, ...). Where other objects gave samples these are written all the
    same, and the details hold a checksum; otherwise what an earlier version of its objects gave is
    removed, so that the cube always is what the archive gave when it was last read. Failed tasks are
    tried again on each run.

The result depends on the task and the settings alone: not on the engine, the process or earlier tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from scaledec.archive.segment import SegmentRead, read_segment
from scaledec.errors import ArchiveError, StoreError, UnreadableInputError
from scaledec.stages.cube_response import check_responses
from scaledec.stages.cube_workspace import CubeContext, FrameWorkspace, Product, Workspace, timed
from scaledec.stages.event_workspace import EventWorkspace
from scaledec.stages.segment_inputs import CHANGED, UNREAD, edges_detail
from scaledec.vocabulary import CubeTask, JsonValue, Status, TaskResult

__all__ = ["CubeContext", "compute_checksum", "run_task"]

_MOST_NOTES = 5


def run_task(task: CubeTask, context: CubeContext) -> TaskResult:
    """Compute one segment of one channel and write it.

    Parameters
    ----------
    task
        From :func:`scaledec.stages.cube_plan.plan_cube`.
    context
        Of the same configuration.

    Returns
    -------
    TaskResult
        Its details: ``checksum`` (if written), ``n_samples`` (real, native, of the segment itself),
        ``sampling_rate_hz`` (native), ``bytes_read``, ``seconds`` per step, and, where they are not
        zero, ``n_gaps``, ``n_duplicate``, ``n_conflicting``, ``n_not_finite``, ``n_frames_without_response``,
        ``offset_s``, ``notes``; ``open_edges`` where the segment's own objects left samples missing at an
        edge, ``unread``, how many objects could not be used, and ``changed``, how many were read in another
        version than was listed.

    Raises
    ------
    StoreError
        If the cube cannot be written: the run cannot go on. All that is wrong with the input is told by
        the result instead.
    """
    try:
        return _run(task, context)
    except UnreadableInputError as error:
        reason = str(error)
    except (StoreError, ArchiveError, ImportError, MemoryError):
        raise
    except ValueError as error:
        reason = f"{task.channel}: {error}"
    except Exception as error:  # noqa: BLE001  (years of other segments must not wait for this one)
        reason = f"{type(error).__name__}: {error}"
    workspace = workspace_for(context)
    workspace.nothing().write(task)
    return TaskResult(task.key, task.fingerprint, "failed", reason)


def compute_checksum(task: CubeTask, context: CubeContext) -> int | None:
    """The checksum of what a task would write, computed from the archive; ``None`` for nothing.

    Raises
    ------
    UnreadableInputError, ValueError
        Where :func:`run_task` would fail.
    """
    workspace = workspace_for(context)
    read = _read(task, context, workspace)
    if not _details(read)["n_samples"]:
        return None
    product = workspace.compute(task, read, {})
    return product.checksum() if product.holds else None


def _read(task: CubeTask, context: CubeContext, workspace: Workspace[Any]) -> SegmentRead:
    if context.responses is not None and len(task.objects) > sum(task.neighbours):
        # Before anything is read. Where only a neighbour may have run over, there is likely no sample at all.
        check_responses(task.channel, task.start_ns, task.responses)
    margins = workspace.margins_of(task)
    return read_segment(
        context.archive,
        task.channel,
        task.objects,
        start_ns=task.start_ns,
        end_ns=task.start_ns + context.grid.segment_ns,
        margin_samples=margins,
        expected_s=workspace.expected_s(margins),
        neighbours=task.neighbours,
    )


def _run(task: CubeTask, context: CubeContext) -> TaskResult:
    workspace = workspace_for(context)
    read = _read(task, context, workspace)
    details = _details(read)
    seconds = {"read": read.read_s, "decode": read.decode_s}
    product = workspace.compute(task, read, seconds) if details["n_samples"] else workspace.nothing()
    status, reason = _verdict(task, context, read, details, product)
    with timed(seconds, "write"):
        # Also where nothing came: what an earlier version of the objects gave must not stay.
        checksum = product.write(task)
    if product.holds:
        details["checksum"] = checksum
    details |= product.details
    details["seconds"] = {step: round(value, 4) for step, value in seconds.items()}
    return TaskResult(task.key, task.fingerprint, status, reason, details)


def _verdict(
    task: CubeTask,
    context: CubeContext,
    read: SegmentRead,
    details: Mapping[str, JsonValue],
    product: Product,
) -> tuple[Status, str | None]:
    """Status and reason of a task that came to its end."""
    unreadable = (*read.unreadable, *product.unreadable)
    left_out = "; ".join(reason for _, reason in unreadable)
    end_ns = task.start_ns + context.grid.segment_ns
    for item, _ in unreadable:
        span = context.archive.nominal_span_ns(item)
        is_own = span is None or (span[0] < end_ns and span[1] > task.start_ns)
        if is_own or item in read.unreachable:  # a neighbour that may come another time is tried again
            kept = "the samples of other objects are written" if product.holds else "nothing else is there"
            return "failed", f"{left_out}; {kept}"
    if product.holds:
        return "done", left_out or None
    if details["n_samples"]:
        return "empty", f"{details['n_samples']} samples fill less than one per cent of any frame"
    return "empty", left_out or None


def _details(read: SegmentRead) -> dict[str, JsonValue]:
    details: dict[str, JsonValue] = {"n_samples": 0, "bytes_read": read.bytes_read}
    details |= edges_detail(read.open_edges)
    if read.unreadable:
        details[UNREAD] = len(read.unreadable)
    if read.changed:
        details[CHANGED] = len(read.changed)
    if read.segment is not None:
        details["n_samples"], n_gaps = _count_inside(read.segment.runs, *_own_samples(read))
        details["sampling_rate_hz"] = read.native_rate_hz
        report = read.segment.report
        counts = {
            "n_gaps": n_gaps,
            "n_duplicate": report.n_duplicate,
            "n_conflicting": report.n_conflicting,
            "n_not_finite": report.n_not_finite,
        }
        details |= {name: count for name, count in counts.items() if count}
        if report.offset_s:
            details["offset_s"] = round(report.offset_s, 9)
    if read.notes:
        more = len(read.notes) - _MOST_NOTES
        details["notes"] = [*read.notes[:_MOST_NOTES], *([f"and {more} more"] if more > 0 else [])]
    return details


def _own_samples(read: SegmentRead) -> tuple[int, int]:
    """Where the segment itself begins and ends among the samples read."""
    assert read.segment is not None
    return read.margin[0], len(read.segment.samples) - read.margin[1]


def _count_inside(runs: Sequence[tuple[int, int]], first: int, stop: int) -> tuple[int, int]:
    """Real samples, and stretches without any, inside ``[first, stop)``."""
    n_real = n_gaps = 0
    here = first
    for begin, end in [*runs, (stop, stop)]:
        n_gaps += here < min(begin, stop)
        n_real += max(0, min(end, stop) - max(begin, first))
        here = max(here, end)
    return n_real, n_gaps


_kept = threading.local()


def workspace_for(context: CubeContext) -> Workspace[Any]:
    """This thread's workspace of a build."""
    kept: Workspace[Any] | None = getattr(_kept, "workspace", None)
    if kept is None or kept.context.build != context.build:
        _kept.workspace = None  # let the old buffers go before the new ones come
        of_events = context.windows.of_events
        kept = _kept.workspace = EventWorkspace(context) if of_events else FrameWorkspace(context)
    return kept

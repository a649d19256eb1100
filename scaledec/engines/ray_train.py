"""Training on a Ray cluster with Ray Train: one worker or many, on CPUs or GPUs.

Ray Train starts the workers, joins them with torch.distributed, and starts them anew from the newest
checkpoint when one dies. Which checkpoint that is, the folder decides and not Ray's own list of
checkpoints: the list is lost or torn when the driver is killed, a folder with a whole checkpoint in it
is not. The session is opened by whoever calls, not here.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

import pyarrow.fs
import ray
import ray.train
import torch
from ray.exceptions import RayActorError, RayError
from ray.train.torch import TorchTrainer, get_device
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from torch import Tensor, distributed

from scaledec.engines.ray_mailbox import Mailbox
from scaledec.engines.ray_train_room import worker_resources
from scaledec.errors import EngineError, ScaledecError, StoreError
from scaledec.location import Location
from scaledec.training.arithmetic import deterministic_algorithms
from scaledec.training.checkpoint import KEPT_CHECKPOINTS, CheckpointShelf
from scaledec.training.session import Metrics, OnReport, SaveInto, TrainingSession

__all__ = ["RaySession", "run_training"]

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")

# A job that has cost this many worker groups their lives is not tried again.
_MAX_FAILURES = 3
_POLL_S = 0.25
_LASTING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
_RAY_LIST = "checkpoint_manager_snapshot.json"
_SETTINGS: Mapping[str, str] = {
    # Ray looks after its workers every two seconds, and a report waits for it to look.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.05",
    # A relative root must mean the same place in a worker as here.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


def run_training(
    loop: Callable[[TrainingSession, JobT], ResultT],
    job: JobT,
    *,
    storage: Location,
    name: str,
    workers: int | tuple[int, int] = 1,
    threads: int | Literal["auto"] = "auto",
    gpu: bool | Literal["auto"] = "auto",
    deterministic: bool = False,
    on_report: OnReport | None = None,
) -> ResultT:
    """Run a training loop to its end on the Ray session that this process is connected to.

    A worker that dies is replaced, and all go on from the newest checkpoint, three times at most. After
    the death of this process a second call with the same ``storage`` and ``name`` goes on likewise.

    Parameters
    ----------
    loop, job
        The loop and what it works on; both, and what the loop returns, must be picklable, and every node
        must be able to open the job's places.
    storage, name
        Checkpoints are kept in the folder ``name`` below ``storage``.
    workers
        Ranks, one process each; (min, max): as many as there is room for, and fewer after a loss. The result
        is the same for any number, to the rounding of float32 sums.
    threads
        CPUs of one rank, and threads of torch in it; ``auto``: the cluster's, shared out evenly.
    gpu
        Whether each rank has a GPU; ``auto``: if the cluster has enough of them.
    deterministic
        Whether to use only algorithms that give the same bits each time.
    on_report
        Called in this thread with the metrics of each report of rank 0.

    Returns
    -------
    ResultT
        What the loop returns on rank 0.

    Raises
    ------
    ScaledecError
        What the loop raised on any rank, as it raised it; such an error is not retried.
    EngineError
        If there is no Ray session, the cluster is too small, or workers died too often.
    """
    if not ray.is_initialized():
        raise EngineError("no Ray session is open in this process; open one with ray_session(address)")
    resources = worker_resources(workers, threads, gpu)
    shelf = storage.child(name)
    _forget_ray_list(shelf)
    mailbox = _mailbox_here()
    trainer = TorchTrainer(
        _run_rank,
        train_loop_config={
            "loop": loop,
            "job": job,
            "shelf": shelf,
            "mailbox": mailbox,
            "threads": int(resources["CPU"]),
            "deterministic": deterministic,
        },
        scaling_config=ray.train.ScalingConfig(
            num_workers=workers, use_gpu="GPU" in resources, resources_per_worker=resources
        ),
        run_config=_run_config(storage, name),
    )
    try:
        return cast("ResultT", _fit(trainer, mailbox, on_report or (lambda _: None)))
    except (ray.train.TrainingFailedError, RayError) as error:
        raise _explained(error, shelf) from error
    finally:
        # After an interrupt the workers find it gone and stop, even if the session stays open.
        ray.kill(mailbox)


class RaySession:
    """A rank of a Ray Train worker group; made in the worker."""

    def __init__(self, shelf: Location, mailbox: Any) -> None:
        context = ray.train.get_context()
        self._rank: int = context.get_world_rank()
        self._world_size: int = context.get_world_size()
        self._device: torch.device = get_device()
        self._shelf_location = shelf
        self._shelf = CheckpointShelf(shelf)
        self._mailbox = mailbox

    @property
    def rank(self) -> int:
        """Which of the ranks this is, from 0."""
        return self._rank

    @property
    def world_size(self) -> int:
        """How many ranks train together."""
        return self._world_size

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return self._device

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace ``tensor`` by its sum over all ranks, equal bits on each, and return it."""
        if self._world_size > 1:
            # NCCL sums on GPUs only, and no backend takes strided memory.
            summed = tensor.to(self._device).contiguous()
            distributed.all_reduce(summed)
            if summed is not tensor:
                tensor.copy_(summed)
        return tensor

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self._world_size > 1:
            distributed.barrier()

    def report(self, metrics: Metrics, save: SaveInto | None = None) -> None:
        """Let Ray Train store the checkpoint, then tell the driver; waits for all ranks."""
        if self._rank != 0:
            ray.train.report({})
            return
        with tempfile.TemporaryDirectory() as folder:
            checkpoint = name = None
            if save is not None:
                save(Path(folder))
                checkpoint = ray.train.Checkpoint.from_directory(folder)
                name = self._shelf.next_name()
            with _full_disk_told(self._shelf_location):
                ray.train.report(dict(metrics), checkpoint=checkpoint, checkpoint_dir_name=name)
        # Waited for: where nobody takes the post any more, this is how a rank learns of it.
        ray.get(self._mailbox.put.remote(dict(metrics)))

    def latest_checkpoint(self) -> AbstractContextManager[Path | None]:
        """The folder of the newest whole checkpoint while the context lasts, ``None`` if there is none."""
        return self._shelf.newest()


@contextmanager
def _full_disk_told(place: Location) -> Iterator[None]:
    """What trying again will not mend is told at once, as an error of the store."""
    try:
        yield
    except OSError as error:
        if error.errno not in _LASTING:
            raise
        raise _cannot_write(place, error) from error


def _cannot_write(place: Location, error: OSError) -> StoreError:
    return StoreError(
        f"cannot write a checkpoint to {place}: {os.strerror(error.errno or 0)}; free some space, make it "
        "writable or choose another root, then run again: training goes on from the checkpoint before"
    )


def _run_rank(config: dict[str, Any]) -> Any:
    """What each worker runs: the loop, and word of an error that trying again will not mend."""
    mailbox = config["mailbox"]
    if _is_over(mailbox):
        return None
    torch.set_num_threads(config["threads"])
    session = RaySession(config["shelf"], mailbox)
    try:
        with deterministic_algorithms(config["deterministic"]):
            return config["loop"](session, config["job"])
    except ScaledecError as error:
        with suppress(RayActorError):
            ray.get(mailbox.fail.remote(error))
        if session.world_size > 1:
            # The others may wait for this rank for ever. Ray stops them and starts all anew, to find it over.
            raise
        return None


def _is_over(mailbox: Any) -> bool:
    """Whether a rank has failed for good, or nobody waits for the result any more."""
    try:
        return ray.get(mailbox.error.remote()) is not None
    except RayActorError:
        return True


def _fit(trainer: TorchTrainer, mailbox: Any, on_report: OnReport) -> Any:
    """Run the trainer in a thread and pass on its reports, so that callbacks and Ctrl-C happen here."""
    outcome: Future[Any] = Future()

    def fit() -> None:
        try:
            outcome.set_result(trainer.fit())
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            outcome.set_exception(error)

    with _settings():
        threading.Thread(target=fit, name="ray-train", daemon=True).start()
        while not outcome.done():
            threading.Event().wait(_POLL_S)
            _hand_on(mailbox, on_report)
    _hand_on(mailbox, on_report)
    failure = ray.get(mailbox.error.remote())
    if failure is not None:
        raise failure
    return outcome.result().return_value


def _mailbox_here() -> Any:
    """A mailbox on this process's node, where it lives as long as this process does."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(Mailbox).remote()


def _hand_on(mailbox: Any, on_report: OnReport) -> None:
    for metrics in ray.get(mailbox.take.remote()):
        on_report(metrics)


@contextmanager
def _settings() -> Iterator[None]:
    """Ray Train's own settings, which it reads from the environment; the user's win."""
    added = [name for name in _SETTINGS if name not in os.environ]
    os.environ.update({name: _SETTINGS[name] for name in added})
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _run_config(storage: Location, name: str) -> ray.train.RunConfig:
    filesystem = None
    if storage.is_local:
        path = str(storage.path.absolute())
    else:
        fs, path = storage.filesystem(patient=True)
        filesystem = pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(fs))
    return ray.train.RunConfig(
        name=name,
        storage_path=path,
        storage_filesystem=filesystem,
        failure_config=ray.train.FailureConfig(max_failures=_MAX_FAILURES),
        checkpoint_config=ray.train.CheckpointConfig(num_to_keep=KEPT_CHECKPOINTS),
        logging_config=ray.train.LoggingConfig(log_level="ERROR"),
    )


def _forget_ray_list(shelf: Location) -> None:
    """Remove Ray's list of an earlier session, which may be torn, and the checkpoints that are too old."""
    if _RAY_LIST in shelf.list_names():
        shelf.child(_RAY_LIST).remove()
    CheckpointShelf(shelf).prune()


def _explained(error: Exception, place: Location) -> ScaledecError:
    """The first failure's own words, without Ray's."""
    cause = getattr(error, "controller_failure", None)
    if isinstance(cause, OSError) and cause.errno in _LASTING:
        # Ray's controller writes a list of its own beside the checkpoints.
        return _cannot_write(place, cause)
    failures = {"controller": cause} if cause else getattr(error, "worker_failures", None) or {"": error}
    who, cause = next(iter(failures.items()))
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    times = f"worker {who} failed {_MAX_FAILURES + 1} times" if isinstance(who, int) else "failed"
    return EngineError(
        f"training {times}; last: {lines[-1]} (is the node short of memory?); run again to go on from the "
        "newest checkpoint"
    )

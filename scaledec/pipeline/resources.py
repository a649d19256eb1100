"""Engines of one command: started when first needed, shared by its stages, stopped at its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeVar

from scaledec.config import ComputeConfig

if TYPE_CHECKING:
    from scaledec.engines import Engine
    from scaledec.location import Location
    from scaledec.stages.label import LabelContext
    from scaledec.training.session import OnReport, TrainingSession
    from scaledec.vocabulary import LabelTask, TaskResult

__all__ = ["Resources"]

JobT = TypeVar("JobT")


class Resources:
    """Where the work of one command is done; a context manager.

    Ray is started (or joined) once, by the first stage that needs it: pretraining, clustering and
    labelling share it.
    """

    def __init__(self, compute: ComputeConfig) -> None:
        self._compute = compute
        self._stack = ExitStack()
        self._ray_is_up = False

    def __enter__(self) -> Resources:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def serial(self) -> bool:
        """Whether everything runs in this process."""
        return self._compute.engine == "serial"

    def start_ray(self) -> None:
        """Start or join Ray, once."""
        if not self._ray_is_up:
            from scaledec.engines.ray_session import ray_session

            self._stack.enter_context(ray_session(self._compute.ray.address))
            self._ray_is_up = True

    def check(self) -> None:
        """Raise ``EngineError`` if the Ray cluster of the configuration does not answer; starts nothing."""
        if not self.serial and self._compute.ray.address is not None:
            from scaledec.engines.ray_session import check_address

            check_address(self._compute.ray.address)

    @contextmanager
    def cube_engine(self) -> Iterator[Engine]:
        """The engine of the cube stage, stopped when the stage is left."""
        dask = self._compute.dask
        if self.serial:
            from scaledec.engines.serial import SerialEngine

            with SerialEngine() as serial:
                yield serial
        elif dask.on_ray:
            from scaledec.engines.dask_on_ray import DaskOnRayEngine

            self.start_ray()
            with DaskOnRayEngine(workers=dask.workers, memory_limit=dask.memory_limit) as on_ray:
                yield on_ray
        else:
            from scaledec.engines.dask_local import DaskEngine

            with DaskEngine(dask.address, workers=dask.workers, memory_limit=dask.memory_limit) as local:
                yield local

    @contextmanager
    def trial_engine(self, parallel: int | Literal["auto"]) -> Iterator[Engine]:
        """The engine of a search's trials, stopped when the search is left."""
        if self.serial:
            from scaledec.engines.serial import SerialEngine

            with SerialEngine() as serial:
                yield serial
            return
        from scaledec.engines.ray_tune import RayTuneEngine

        self.start_ray()
        ray = self._compute.ray
        threads = 1 if ray.threads_per_worker == "auto" else ray.threads_per_worker
        with RayTuneEngine(parallel=parallel, threads=threads, gpu=ray.gpu) as trials:
            yield trials

    def train(
        self,
        loop: Callable[[TrainingSession, JobT], object],
        job: JobT,
        *,
        storage: Location,
        name: str,
        on_report: OnReport,
    ) -> None:
        """Run a training loop to its end; a second call with the same storage and name resumes it."""
        ray = self._compute.ray
        if self.serial:
            from scaledec.engines.local_train import run_training as run_here

            run_here(
                loop,
                job,
                threads=ray.threads_per_worker,
                deterministic=self._compute.deterministic,
                storage=storage,
                name=name,
                on_report=on_report,
            )
            return
        from scaledec.engines.ray_train import run_training

        self.start_ray()
        run_training(
            loop,
            job,
            workers=ray.train_workers,
            threads=ray.threads_per_worker,
            gpu=ray.gpu,
            deterministic=self._compute.deterministic,
            storage=storage,
            name=name,
            on_report=on_report,
        )

    def label(
        self,
        tasks: Sequence[LabelTask],
        context: LabelContext,
        ledger: Location,
        on_result: Callable[[TaskResult], None],
        *,
        memory: int,
    ) -> None:
        """Label tasks; each result is in the ledger before ``on_result`` hears of it.

        ``memory`` is what one labelling process is projected to hold, in bytes.
        """
        if not self.serial:
            from scaledec.engines.ray_data import label_with_ray

            self.start_ray()
            label_with_ray(tasks, context, ledger, self._compute.ray, on_result, memory=memory)
            return
        from scaledec.engines.serial import SerialEngine
        from scaledec.ledger.ledger import Ledger
        from scaledec.stages.label import Labeller

        labeller = Labeller(context)
        with SerialEngine() as engine, Ledger(ledger).writer() as writer:
            for result in engine.run(labeller.run, tasks):
                writer.write(result)
                on_result(result)

"""Who else hears of a training's metrics: TensorBoard, MLflow, and the pictures drawn on the way."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaledec.config import ComputeConfig
from scaledec.errors import ConfigError, ScaledecError, StoreNotFoundError
from scaledec.location import Location

if TYPE_CHECKING:
    from scaledec.training.session import Metrics, OnReport

__all__ = ["watched"]

_log = logging.getLogger(__name__)


@contextmanager
def watched(compute: ComputeConfig, run: Location, stage: str, on_report: OnReport) -> Iterator[OnReport]:
    """A callback that hands reports of a stage to ``on_report`` and to all that the configuration asks for.

    Raises
    ------
    ConfigError
        If a library that is asked for is not installed.
    """
    with ExitStack() as stack:
        listeners: list[OnReport] = [on_report]
        if compute.tensorboard:
            listeners.append(stack.enter_context(_tensorboard(run, stage)))
        if compute.mlflow is not None:
            listeners.append(stack.enter_context(_mlflow(compute.mlflow, run, stage)))
        if compute.pictures_every is not None and stage == "pretrain":
            listeners.append(_Painter(run, compute.pictures_every))

        def tell(metrics: Metrics) -> None:
            # Where an epoch is at a checkpoint within it says nothing that could be drawn.
            for listener in listeners if "windows" not in metrics else (on_report,):
                listener(metrics)

        yield tell


@contextmanager
def _tensorboard(run: Location, stage: str) -> Iterator[OnReport]:
    """Event files below the run's folder; on an object store they are there when the stage has ended."""
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ConfigError(
            "compute.tensorboard is true and tensorboardX is not installed: pip install tensorboardX, or "
            "leave the key out (metrics are in the run's folder in any case)"
        ) from error
    target = run.child("tensorboard", stage)
    with tempfile.TemporaryDirectory() as temporary:
        folder = target.path if run.is_local else Path(temporary)
        writer: Any = None

        def write(metrics: Metrics) -> None:
            nonlocal writer
            step = _step(metrics)
            if writer is None:
                # Of a resumed training, epochs that are trained again replace those that were lost.
                writer = SummaryWriter(str(folder), purge_step=step)
            for name, value in _numbers(metrics).items():
                writer.add_scalar(f"{stage}/{name}", value, step)
            writer.flush()

        try:
            yield write
        finally:
            if writer is not None:
                writer.close()
            if not run.is_local:
                for file in Path(temporary).iterdir():
                    target.child(file.name).write_bytes(file.read_bytes())


@contextmanager
def _mlflow(address: str, run: Location, stage: str) -> Iterator[OnReport]:
    try:
        import mlflow
    except ImportError as error:
        raise ConfigError(
            "compute.mlflow is set and mlflow is not installed: pip install mlflow, or leave the key out "
            "(metrics are in the run's folder in any case)"
        ) from error
    mlflow.set_tracking_uri(address)
    mlflow.set_experiment("scaledec")
    name = f"{str(run).rstrip('/').rpartition('/')[2]}/{stage}"
    with mlflow.start_run(run_name=name):
        yield lambda metrics: mlflow.log_metrics(_numbers(metrics), step=_step(metrics))


class _Painter:
    """Draws a picture whenever the loop has left arrays for one; a picture that fails stops no training."""

    def __init__(self, run: Location, every: int) -> None:
        self._run, self._every = run, every
        self._history = _history(run)

    def __call__(self, metrics: Metrics) -> None:
        epoch = _step(metrics)
        self._history[epoch] = metrics
        if epoch % self._every == 0:
            try:
                self._draw(epoch)
            except (ScaledecError, ValueError) as error:
                _log.warning("no picture of epoch %d: %s", epoch, error)

    def _draw(self, epoch: int) -> None:
        from scaledec.report.training import draw_training
        from scaledec.stages.pretrain_sight import read_sight, sight_place

        history = [self._history[e] for e in sorted(self._history) if e <= epoch]
        with tempfile.TemporaryDirectory() as folder:
            drawn = draw_training(Path(folder) / "picture.png", history, read_sight(self._run, epoch))
            self._run.child("pictures", f"epoch-{epoch:04d}.png").write_bytes(drawn.read_bytes())
        sight_place(self._run, epoch).remove()


def _history(run: Location) -> dict[int, Mapping[str, Any]]:
    """Metrics of the epochs of earlier sessions."""
    try:
        lines = run.child("metrics.jsonl").read_bytes().splitlines()
    except StoreNotFoundError:
        return {}
    return {entry["epoch"]: entry for entry in map(json.loads, lines)}


def _step(metrics: Mapping[str, Any]) -> int:
    """The epoch of a pretraining, the optimiser's step of a clustering."""
    return int(metrics["step"] if "step" in metrics else metrics["epoch"])


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """What can be drawn as a curve."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in ("epoch", "step")
    }

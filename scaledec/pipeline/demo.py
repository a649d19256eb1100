"""The demo: an archive with known truth, the whole job on it, and how well the labels recover the truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import scaledec
from scaledec.config import Config, dump_config, load_config, run_name
from scaledec.errors import ConfigError
from scaledec.pipeline.outcome import EXIT_DONE, EXIT_WITH_FAILURES, Failure, Outcome
from scaledec.pipeline.run import run
from scaledec.places import Places
from scaledec.progress import track

if TYPE_CHECKING:
    from scaledec.synthetic.archive import SyntheticArchive

__all__ = [
    "demo_exit_code",
    "draw_demo",
    "run_demo",
    "score_demo",
    "write_demo_archive",
    "write_demo_config",
]


def write_demo_archive(folder: Path, *, seed: int = 0) -> SyntheticArchive:
    """Write the synthetic archive below ``folder``; one that lies there already is kept."""
    from scaledec.synthetic.archive import write_synthetic_archive
    from scaledec.synthetic.settings import SyntheticSettings

    with track("archive", total=None, unit="files") as progress:

        def on_file(done: int, total: int) -> None:
            progress.total = total
            progress.advance(done - progress.done)

        return write_synthetic_archive(
            folder / "archive", SyntheticSettings(seed=seed), workers=os.cpu_count(), progress=on_file
        )


def write_demo_config(folder: Path, config_path: str | None = None) -> Path:
    """Write the demo's configuration into ``folder``, root and archive below it; return its path."""
    source = Path(config_path) if config_path else _packaged("demo.yaml")
    places = [f"root={folder / 'output'}", f"archive.url={folder / 'archive' / 'sds'}"]
    path = folder / "demo.yaml"
    path.write_text(dump_config(load_config(source, places)), encoding="utf-8")
    return path


def run_demo(folder: Path, *, config_path: str | None = None) -> tuple[Sequence[Outcome], Config]:
    """Write the configuration into ``folder``, where the archive already lies, and run every stage."""
    config = load_config(write_demo_config(folder, config_path))
    return run(config), config


def demo_exit_code(outcomes: Sequence[Outcome], archive: SyntheticArchive) -> int:
    """0 if every input that could not be used was planted to be unusable, else 3."""
    planted = {fault.station for fault in archive.faults if fault.kind == "unreadable file"}
    failures: list[Failure] = [failure for outcome in outcomes for failure in outcome.failures]
    expected = all(failure.key.split(".")[1] in planted for failure in failures)
    return EXIT_DONE if expected else EXIT_WITH_FAILURES


def score_demo(config: Config, archive: SyntheticArchive) -> str:
    """How well k-means, the mixture and the run's method recover the planted families, as a table."""
    from scaledec.report.scoring import archive_truth, confusion_table, score_table, score_training_set
    from scaledec.store.labels import LabelStore
    from scaledec.store.training import TrainingStore

    places, name = Places.at(config.root, config.storage_options), run_name(config)
    method = config.cluster.method.upper()
    scores = score_training_set(
        TrainingStore.open(places.training_set(name)), archive.truth, config.window_grid, method
    )
    labels = LabelStore.open(places.labels(name))
    confusion = confusion_table(archive_truth(labels, archive.truth), len(labels.centroid))
    return (
        "How well the planted families are recovered (windows of the training set):\n"
        f"{score_table(scores)}\n\n"
        "Windows of the whole archive, by cluster (rows) and planted family (columns):\n"
        f"{confusion.to_string()}"
    )


def draw_demo(folder: Path, config: Config) -> list[Path]:
    """Draw the clusters and when they happen into ``folder``: two figures of the report."""
    from scaledec.report.canvas import save_figure
    from scaledec.report.gather.view import RunView
    from scaledec.report.sections.clusters import gallery_section
    from scaledec.report.sections.time import timeline_section

    view = RunView(config, run_name(config))
    pictures = [*gallery_section(view).pictures, *timeline_section(view).pictures]
    return [save_figure(picture.draw(), folder / f"{picture.name}.png") for picture in pictures]


def _packaged(name: str) -> Path:
    """A configuration that comes with scaledec: inside the installed package, or beside it in a checkout."""
    package = Path(scaledec.__file__).parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / name).is_file():
            return folder / name
    raise ConfigError(
        f"{name} is not beside {package}: pass one with --config (the source has it in configs/)"
    )

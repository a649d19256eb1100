from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.asking import QUESTIONS, ask
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels

N_STATIONS, N_DAYS = 20, 90


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Labels of twelve million windows."""
    root = tmp_path_factory.mktemp("large")
    write_simulated_labels(
        str(root), SimulatedLabels(stations=N_STATIONS, segments=N_DAYS, start="2021-04-01")
    )
    return str(root)


@pytest.mark.heavy
@pytest.mark.parametrize("question", QUESTIONS)
def test_twelve_million_windows_are_asked_in_little_time_and_memory(root: str, question: str) -> None:
    found = ask(root, question)
    assert found["rows"] > 0
    # Of the processor, whatever else the machine does; one of them is spent on imports.
    assert found["cpu_s"] < 4
    assert found["peak_mb"] < 700


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_archive(root: str, tmp_path: Path) -> None:
    write_simulated_labels(
        str(tmp_path), SimulatedLabels(stations=N_STATIONS // 5, segments=N_DAYS, start="2021-04-01")
    )
    for question in ("count by label", "statistics of the classes, without power"):
        assert ask(root, question)["peak_mb"] < 1.25 * ask(str(tmp_path), question)["peak_mb"]

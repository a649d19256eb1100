"""The engine of one process."""

from __future__ import annotations

import itertools

import pytest

from scaledec.engines.serial import SerialEngine
from scaledec.errors import UnreadableInputError
from tests.engines.tasks import raises, square


def test_results_come_in_order_and_tasks_are_asked_for_one_by_one() -> None:
    asked = []

    def tasks() -> itertools.count[int]:
        return itertools.count()

    def noted() -> object:
        for task in tasks():
            asked.append(task)
            yield task

    with SerialEngine() as engine:
        results = engine.run(square, noted())  # type: ignore[arg-type]
        assert [next(results) for _ in range(4)] == [0, 1, 4, 9]
        assert asked == [0, 1, 2, 3]


def test_what_a_task_raises_is_raised() -> None:
    with SerialEngine() as engine, pytest.raises(UnreadableInputError, match="error page"):
        list(engine.run(raises, range(10)))

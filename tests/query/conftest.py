"""Labels at a stride and at events, each in a root of its own."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pytest

from scaledec.store.labels import LabelStore
from scaledec.synthetic.labels import write_simulated_labels
from tests.query.making import SETTINGS, windows_of, write_event_labels


@dataclass(frozen=True)
class Asked:
    """Labels, and all that is labelled in them as a plain table."""

    root: str
    store: LabelStore
    windows: pd.DataFrame

    @property
    def length_s(self) -> float:
        return self.store.windows.length_s


@pytest.fixture(scope="session")
def continuous(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    root = tmp_path_factory.mktemp("continuous")
    store = write_simulated_labels(str(root), SETTINGS)
    return Asked(str(root), store, windows_of(store))


@pytest.fixture(scope="session")
def at_events(tmp_path_factory: pytest.TempPathFactory) -> Asked:
    root = tmp_path_factory.mktemp("events")
    store = write_event_labels(root)
    return Asked(str(root), store, windows_of(store))


@pytest.fixture(params=["continuous", "at_events"])
def asked(request: pytest.FixtureRequest) -> Asked:
    """Labels at a stride, then at events."""
    found: Asked = request.getfixturevalue(request.param)
    return found

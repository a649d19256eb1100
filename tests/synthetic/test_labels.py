from __future__ import annotations

from pathlib import Path

import numpy as np

from scaledec.queries.rows import query
from scaledec.store.datasets import newest_run
from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels

SMALL = SimulatedLabels(stations=2, segments=5, segment_s=3600, segments_per_shard=2, unlabelled=0.1)


def test_simulated_labels_are_asked_like_those_of_a_run(tmp_path: Path) -> None:
    store = write_simulated_labels(str(tmp_path), SMALL)
    label = np.stack([store.read_region(c, 0, 5).label for c in range(4)])
    found = query(str(tmp_path))
    assert newest_run(str(tmp_path)) == "simulated"
    assert [str(channel) for channel in store.extent.channels][:2] == ["ZS.S000..HHZ", "ZS.S000..HHN"]
    assert len(found) == (label >= 0).sum() > 0.8 * label.size
    assert sorted(found["label"].unique()) == list(range(8))
    assert found["confidence"].between(0.4, 1).all()


def test_simulated_classes_last_a_while_and_prefer_hours(tmp_path: Path) -> None:
    days = SimulatedLabels(stations=1, channels_per_station=1, segments=20, unlabelled=0, mean_stay=10)
    label = write_simulated_labels(str(tmp_path), days).read_region(0, 0, 20).label
    changes = (np.diff(label.reshape(-1)) != 0).mean()
    assert 0.05 < changes < 0.1  # a draw every tenth window, often of the same class
    by_hour = [(label[:, hour * 140 : hour * 140 + 140] == 0).mean() for hour in range(24)]
    assert max(by_hour) > 1.5 * min(by_hour)


def test_equal_settings_give_equal_labels_and_another_seed_gives_others(tmp_path: Path) -> None:
    first, again, other = (
        write_simulated_labels(str(tmp_path / name), SimulatedLabels(stations=1, segments=3, seed=seed))
        .read_region(1, 0, 3)
        .checksum
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other

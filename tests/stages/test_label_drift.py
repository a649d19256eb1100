"""Drift: tallies add up, are counted again only where labels changed, and departures are told in words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import entropy, ks_2samp

from scaledec.location import Location
from scaledec.numerics.drift import CONFIDENCE_EDGES, Departure, Tally, departure, reasons
from scaledec.stages.label_drift import Tallies, judge, update_tallies
from scaledec.store.labels import LabelBlock, LabelStore
from scaledec.vocabulary import TaskResult, WindowState, format_time, parse_time
from tests.store.making import HHN, HHZ, WINDOWS, label_template

START_NS = parse_time("2020-01-01")
HOUR_NS = 3_600 * 10**9
N_SEGMENTS = 24 * 65
PER_SHARD = 24 * 13
TRAINING = START_NS, parse_time("2020-02-10T23:00")
NAMES = ("noise", "tremor", "quake")


def drawn(n: int, shares: tuple[float, ...], seed: int = 0, *, far: float = 1.0) -> tuple[Any, Any, Any]:
    """Labels of given shares, confidences, and outlier scores: uniform as in training if ``far`` is 1."""
    rng = np.random.default_rng(seed)
    label = rng.choice(len(shares), n, p=shares)
    return label, rng.beta(5, 2, n).astype(np.float32), (far * rng.random(n)).astype(np.float32)


def test_tallies_of_parts_add_up_to_the_whole_and_skip_what_has_no_label() -> None:
    label, confidence, outlier = drawn(1000, (0.5, 0.3, 0.2))
    label[::7] = -1
    confidence[::7] = outlier[::7] = np.nan
    whole = Tally.of(label, confidence, outlier, 3)
    parts = sum((Tally.of(label[i::3], confidence[i::3], outlier[i::3], 3) for i in range(3)), Tally.empty(3))
    assert whole.to_json() == parts.to_json() == Tally.from_json(whole.to_json()).to_json()
    assert whole.n == (label >= 0).sum() == whole.confidence.sum() == whole.outlier.sum()
    assert abs(whole.median_confidence - np.nanmedian(confidence)) < 0.01
    assert whole.share_beyond(0.5) == (outlier >= 0.5).sum() / whole.n


def test_departures_are_jensen_shannon_and_kolmogorov() -> None:
    a, b = drawn(5000, (0.5, 0.3, 0.2)), drawn(4000, (0.1, 0.6, 0.3), 1, far=1.7)
    found = departure(Tally.of(*a, 3), Tally.of(*b, 3))
    p, q = (np.bincount(x[0], minlength=3) / len(x[0]) for x in (a, b))
    divergence = entropy((p + q) / 2, base=2) - (entropy(p, base=2) + entropy(q, base=2)) / 2
    assert found.shares == pytest.approx(np.sqrt(divergence))
    binned = [np.digitize(x[1], CONFIDENCE_EDGES) for x in (a, b)]
    assert found.confidence == pytest.approx(ks_2samp(*binned).statistic)
    assert departure(Tally.of(*a, 3), Tally.of(*a, 3)) == Departure(0, 0, 0)


@pytest.mark.parametrize(
    ("shares", "far", "told"),
    [
        ((0.7, 0.2, 0.1), 1.0, ()),
        ((0.4, 0.1, 0.5), 1.0, ("quake most: ",)),
        (
            (0.7, 0.2, 0.1),
            1.2,
            ("lie elsewhere around their clusters", "farther from their cluster than 99%"),
        ),
    ],
)
def test_what_has_changed_is_told_in_words(
    shares: tuple[float, ...], far: float, told: tuple[str, ...]
) -> None:
    reference = Tally.of(*drawn(20_000, (0.7, 0.2, 0.1)), 3)
    found = reasons(Tally.of(*drawn(5_000, shares, 1, far=far), 3), reference, (), NAMES)
    assert len(found) == len(told)
    assert all(part in reason for part, reason in zip(told, found, strict=True))


def test_what_the_training_period_varies_by_itself_is_no_drift() -> None:
    reference = Tally.of(*drawn(20_000, (0.7, 0.2, 0.1)), 3)
    moved = Tally.of(*drawn(5_000, (0.3, 0.2, 0.5), 1), 3)
    assert reasons(moved, reference, (), NAMES)
    assert not reasons(moved, reference, [departure(moved, reference)], NAMES)


def test_a_handful_of_windows_is_not_judged() -> None:
    reference = Tally.of(*drawn(20_000, (0.7, 0.2, 0.1)), 3)
    assert reasons(Tally.of(*drawn(100, (0, 0, 1), 1), 3), reference, (), NAMES) == ()


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    """65 days of two channels; from 20 February on, every window is of the last cluster."""
    place = Location(str(tmp_path / "run.zarr"))
    template = label_template(embedding=False, segments_per_shard=PER_SHARD)
    store = LabelStore.create_or_extend(place, template, [HHZ, HHN], START_NS, N_SEGMENTS)
    for channel_index in range(2):
        for first in range(0, N_SEGMENTS, PER_SHARD):
            write(store, channel_index, first)
    return store


def write(store: LabelStore, channel_index: int, first: int, seed: int = 0) -> None:
    shape = PER_SHARD, WINDOWS.n_windows
    arrays = drawn(PER_SHARD * WINDOWS.n_windows, (0.7, 0.2, 0.1), seed + first + channel_index)
    label, confidence, outlier = (values.reshape(shape) for values in arrays)
    label[first + np.arange(PER_SHARD) >= 24 * 50] = 2
    state = np.full(shape, WindowState.LABELLED, np.uint8)
    store.write_region(
        LabelBlock(channel_index, first, label.astype(np.int16), confidence, outlier, outlier, state)
    )


def ledger(changed: str = "") -> Iterator[TaskResult]:
    for channel in (HHZ, HHN):
        for first in range(0, N_SEGMENTS, PER_SHARD):
            key = f"{channel}/{format_time(START_NS + first * HOUR_NS)}"
            yield TaskResult(key, "new" if key == changed else "old", "done")


def test_months_outside_the_training_period_are_held_against_it(store: LabelStore) -> None:
    tallies = update_tallies(store, ledger(), TRAINING, None)
    blocks = judge(tallies, NAMES)
    assert [(block.month, block.training) for block in blocks] == [
        ("2020-01", True),
        ("2020-02", True),
        ("2020-02", False),
        ("2020-03", False),
    ]
    hours = {key: block.windows / (2 * WINDOWS.n_windows) for key, block in zip("abcd", blocks, strict=True)}
    assert hours == {"a": 31 * 24, "b": 10 * 24, "c": 18 * 24 + 24, "d": 5 * 24}
    assert not blocks[0].reasons
    assert not blocks[1].reasons
    assert "quake most: 100.0% after 9.9%" in blocks[3].reasons[0]
    region = store.read_region(0, 24 * 60, 24 * 65)
    other = store.read_region(1, 24 * 60, 24 * 65)
    both = np.concatenate([region.outlier.ravel(), other.outlier.ravel()])
    assert blocks[3].beyond_far == pytest.approx((both >= 0.99).mean())


def test_only_what_was_labelled_again_is_read_again(
    store: LabelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = update_tallies(store, ledger(), TRAINING, None)
    again = Tallies.from_json(json.loads(json.dumps(first.to_json())))
    read: list[tuple[int, int]] = []
    original = LabelStore.read

    def counted(self: LabelStore, name: str, channel: int, start: int, stop: int) -> Any:
        read.append((start, stop))
        return original(self, name, channel, start, stop)

    monkeypatch.setattr(LabelStore, "read", counted)
    assert update_tallies(store, ledger(), TRAINING, again).to_json() == first.to_json()
    assert not read
    write(store, 1, 2 * PER_SHARD, seed=99)
    key = f"{HHN}/{format_time(START_NS + 2 * PER_SHARD * HOUR_NS)}"
    updated = update_tallies(store, ledger(key), TRAINING, again)
    assert set(read) == {(2 * PER_SHARD, 3 * PER_SHARD)}
    assert updated.to_json() == update_tallies(store, ledger(key), TRAINING, None).to_json()
    assert updated.to_json() != first.to_json()

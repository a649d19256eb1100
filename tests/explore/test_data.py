"""What the page shows, against the plain way on whole arrays."""

from __future__ import annotations

from pathlib import Path

import fsspec
import numpy as np
import pytest

from scaledec.errors import StoreNotFoundError
from scaledec.explore.cards import class_card, neighbour, window_power
from scaledec.explore.counts import Bins, choose_bins, count_classes, stored_share
from scaledec.explore.detail import Place, read_windows, spectrogram
from scaledec.explore.opened import Opened, OpenedRun, Span, open_root
from scaledec.explore.paint import OTHERS_COLOUR, packed, painted_rows
from scaledec.explore.waveform import read_trace
from scaledec.places import Places
from scaledec.report.palette import UNLABELLED_COLOUR
from scaledec.store.cube import CubeStore
from scaledec.vocabulary import WindowState
from tests.explore.conftest import N_CHANNELS, N_CLASSES, N_SEGMENTS, RATE_HZ, RUN, samples
from tests.stages.small_cubes import N_FRAMES, START_NS, channels_of, file_bytes, make_cube, small_config

SECOND = 10**9
SEGMENT = N_FRAMES * SECOND


@pytest.fixture(scope="module")
def run(opened: Opened) -> OpenedRun:
    return opened.run(RUN)


@pytest.fixture(scope="module")
def cube(opened: Opened) -> CubeStore:
    assert isinstance(opened.cube, CubeStore)
    return opened.cube


def after(start_s: float, end_s: float) -> Span:
    """So many seconds after the start of everything."""
    return Span(START_NS + round(start_s * SECOND), START_NS + round(end_s * SECOND))


def test_the_newest_run_comes_first_or_the_one_that_is_asked_for(root: Path) -> None:
    assert open_root(str(root)).runs == (RUN, "first")
    assert open_root(str(root), run="first").runs == ("first", RUN)
    config = small_config(root, archive={"url": str(root / "archive")})
    assert open_root(str(root), config=config.model_copy(update={"run": "first"})).runs == ("first", RUN)
    assert open_root(str(root), config=config).runs == (RUN, "first")
    with pytest.raises(StoreNotFoundError, match=r"no labels of run 'third'.*first, second"):
        open_root(str(root), run="third")


def test_a_root_with_nothing_in_it_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match="neither a cube nor labels; `scaledec run CONFIG`"):
        open_root(str(tmp_path))


def test_a_class_is_called_by_its_number_and_the_name_it_was_given(run: OpenedRun) -> None:
    assert run.names == ("cluster 0", "1 icequake, ice front", "cluster 2")


@pytest.mark.parametrize("most", [1, 7, 60, 640])
@pytest.mark.parametrize("length_s", [1, 59, 3600, 86_400 * 365.25 * 10])
def test_bins_are_the_shortest_usual_ones_that_cover_a_span(length_s: float, most: int) -> None:
    span = after(12.5, 12.5 + length_s)
    bins = choose_bins(span, least_ns=8 * SECOND, most=most)
    assert bins.number <= most or bins.length_ns > 8 * SECOND
    assert bins.span.start_ns <= span.start_ns
    assert bins.span.end_ns >= span.end_ns
    assert bins.length_ns >= min(8 * SECOND, span.length_ns / most)
    assert bins.number <= max(2, most)


def test_counts_are_those_of_a_loop_over_all_windows(run: OpenedRun) -> None:
    bins = Bins(START_NS + 100 * SECOND, 70 * SECOND, 30)
    *_, found = count_classes(run, (2, 0), bins)
    label = run.dataset["label"].to_numpy()
    expected = np.zeros((2, 30, N_CLASSES + 1), int)
    for row, channel in enumerate((2, 0)):
        for segment, number in np.ndindex(label.shape[1:]):
            start = START_NS + segment * SEGMENT + number * 8 * SECOND
            place = (start - bins.start_ns) // bins.length_ns
            if 0 <= place < 30:
                expected[row, place, label[channel, segment, number]] += 1
    np.testing.assert_array_equal(found.table, expected)
    assert found.share_read == 1
    assert expected.sum() > 500


def test_only_shards_of_the_time_asked_for_are_read(run: OpenedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    import scaledec.explore.counts as module

    read: list[tuple[int, int, int]] = []
    original = module._count_block

    def spy(run: OpenedRun, channel: int, block: module._Block, bins: Bins) -> object:
        read.append((channel, block.first, block.stop))
        return original(run, channel, block, bins)

    monkeypatch.setattr(module, "_count_block", spy)
    list(count_classes(run, (3,), Bins(START_NS + SEGMENT, SEGMENT, 2)))
    assert sorted(read) == [(3, 1, 2), (3, 2, 3)]


def test_what_the_cube_has_stored_is_told_without_reading_it(cube: CubeStore) -> None:
    share = stored_share(cube, (0, 1), Bins(START_NS, 2 * SEGMENT, 4))
    assert share.tolist() == [[1, 1, 1, 0], [1, 0.5, 1, 0]]


def test_windows_of_a_span_are_those_that_start_in_it(run: OpenedRun) -> None:
    found = read_windows(run, 1, after(590, 1300))
    assert found is not None
    seconds = (found.start_ns - START_NS) / SECOND
    np.testing.assert_array_equal(seconds, [592, *range(600, 1300, 8)])
    label = run.dataset["label"].to_numpy()[1]
    np.testing.assert_array_equal(found.label, label[found.segment, found.number])
    confidence = run.dataset["confidence"].to_numpy()[1]
    np.testing.assert_array_equal(found.confidence, confidence[found.segment, found.number])
    np.testing.assert_array_equal(
        found.outlier, run.dataset["outlier"].to_numpy()[1][found.segment, found.number]
    )
    np.testing.assert_array_equal(found.state == WindowState.LABELLED, found.label >= 0)
    assert found.at(START_NS + 601 * SECOND) == 1
    assert found.at(START_NS + 580 * SECOND) is None


@pytest.mark.parametrize("n_columns", [1, 7, 100, 5000])
def test_a_column_of_a_spectrogram_is_the_loudest_of_its_frames(cube: CubeStore, n_columns: int) -> None:
    picture = spectrogram(cube, 0, after(550, 1250), n_columns)
    both = np.concatenate([cube.read_frames(0, segment)[0] for segment in (0, 1, 2)])[550:1250]
    n = picture.frames_per_column
    assert -(-700 // n) == picture.power_db.shape[1] <= n_columns
    for column in range(picture.power_db.shape[1]):
        loudest = both[column * n : (column + 1) * n].astype(np.float32).max(axis=0)
        np.testing.assert_array_equal(picture.power_db[:, column], loudest)
    assert picture.span.start_ns == START_NS + 550 * SECOND
    assert picture.problem == ""


def test_a_gap_stays_a_gap_and_an_absent_segment_is_told(cube: CubeStore) -> None:
    picture = spectrogram(cube, 1, after(1100, 1900), 800)
    gone = np.asarray(np.isnan(picture.power_db).all(axis=0))
    assert not gone[:100].any()
    assert gone[100:700].all()
    assert spectrogram(cube, 1, after(1200, 1800)).problem == "nothing recorded in this time"
    assert "nothing of this time" in spectrogram(cube, 1, after(9000, 9900)).problem


def test_years_of_spectrogram_are_not_read(tmp_path: Path) -> None:
    config = small_config(tmp_path)
    cube = make_cube(config, channels_of(1), 2000, empty=[(0, i) for i in range(2000)])
    assert "zoom in to 13 days or less" in spectrogram(cube, 0, after(0, 2000 * 600)).problem


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("label", range(N_CLASSES))
def test_the_next_window_of_a_class_is_the_one_a_loop_finds(run: OpenedRun, step: int, label: int) -> None:
    labels = run.dataset["label"].to_numpy()[3].reshape(-1)
    n = run.store.windows.n_windows
    for index in (0, 140, 151, len(labels) - 1):
        place = Place(3, index // n, index % n, START_NS + index * 8 * SECOND)
        found = neighbour(run, place, label, step)
        after_it = range(index + 1, len(labels)) if step > 0 else range(index - 1, -1, -1)
        expected = next((i for i in after_it if labels[i] == label), None)
        place_of = None if found is None else found.segment * n + found.number
        assert place_of == expected


def test_the_nearest_windows_of_a_class_are_those_of_least_distance(run: OpenedRun) -> None:
    card = class_card(run, 2, n_nearest=3)
    label, distance = run.dataset["label"].to_numpy(), run.dataset["distance"].to_numpy()
    expected = np.sort(distance[label == 2])[:3]
    np.testing.assert_allclose([found for _, found in card.nearest], expected)
    for place, found in card.nearest:
        assert distance[place.channel_index, place.segment, place.number] == np.float32(found)
        assert label[place.channel_index, place.segment, place.number] == 2
    assert card.looked_at == (label == 2).sum()
    assert card.is_all
    np.testing.assert_allclose(card.prototype, run.dataset["prototype"].to_numpy()[2])


def test_a_window_is_shown_as_the_cube_holds_it_over_a_segments_end(
    opened: Opened, run: OpenedRun, cube: CubeStore
) -> None:
    n = run.store.windows.n_windows
    power = window_power(opened, run, Place(0, 0, n - 1, START_NS + (n - 1) * 8 * SECOND))
    first = (n - 1) * 8
    np.testing.assert_array_equal(power, cube.read_frames(0, 0, first=first, stop=first + 16)[0])
    gone = window_power(opened, run, Place(1, 2, 3, START_NS))
    assert gone == "the cube no longer holds every value of this window"


def test_samples_are_those_of_the_archive_less_their_mean(opened: Opened) -> None:
    trace = read_trace(opened, channels_of(1)[0], after(60, 120))
    expected = samples()[480:960].astype(float)
    assert trace.problem == ""
    assert trace.sampling_rate_hz == RATE_HZ
    np.testing.assert_allclose(trace.value, expected - expected.mean(), atol=0.01)
    np.testing.assert_array_equal(trace.time_ns, START_NS + 60 * SECOND + np.arange(480) * SECOND // 8)


def test_many_samples_become_the_least_and_the_largest_of_each_column(opened: Opened) -> None:
    trace = read_trace(opened, channels_of(1)[0], after(0, 1800))
    expected = samples().astype(float)
    expected -= expected.mean()
    assert len(trace.value) == 2 * 1200
    n = 1800 * 8 // 1200
    for column in (0, 17, 999):
        part = expected[column * n : (column + 1) * n]
        np.testing.assert_allclose(
            trace.value[2 * column : 2 * column + 2], [part.min(), part.max()], atol=0.1
        )
    assert np.isnan(trace.value[2001:]).all(), "the last five minutes are a gap"


def test_a_band_pass_takes_the_slow_tone_away(opened: Opened) -> None:
    trace = read_trace(opened, channels_of(1)[0], after(300, 360), band_hz=(0.5, 3.0))
    assert np.abs(trace.value).max() == pytest.approx(200, rel=0.02)


@pytest.mark.parametrize(
    ("channel", "span", "band", "reason"),
    [
        (1, after(0, 60), None, "no channel"),
        (0, after(0, 86_400 * 3), None, "zoom in to a day or less"),
        (0, after(0, 60), (2.0, 9.0), "expected 0 < low < high < 4 Hz"),
        (0, after(4000, 4060), None, "holds no samples of this time"),
    ],
)
def test_where_no_samples_can_be_shown_the_reason_is(
    opened: Opened, channel: int, span: Span, band: tuple[float, float] | None, reason: str
) -> None:
    assert reason in read_trace(opened, channels_of(2)[channel], span, band_hz=band).problem


def test_headers_that_are_read_are_kept_beside_the_root_not_in_it(root: Path) -> None:
    before = file_bytes(root)
    config = small_config(root, archive={"url": str(root / "archive"), "layout": "files"})
    opened = open_root(str(root), config=config)
    assert read_trace(opened, channels_of(1)[0], after(60, 120)).problem == ""
    assert opened.headers.location.list_names() != []
    assert file_bytes(root) == before


def test_a_root_without_a_kept_configuration_says_so_instead_of_samples(tmp_path: Path) -> None:
    make_cube(small_config(tmp_path), channels_of(1), 2)
    opened = open_root(str(tmp_path))
    assert opened.runs == ()
    assert "give it instead of the root" in read_trace(opened, channels_of(1)[0], after(0, 60)).problem


def test_painted_shares_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 4, (3, 40, 5)).astype(np.int32)
    counts[1, 7] = 0
    colours = ("#000001", "#000002", "#000003", "#000004")
    chosen, height = (0, 2, 3), 8
    image = painted_rows(counts, colours, chosen, height).reshape(3, height, 40)
    order = sorted(chosen, key=lambda k: counts[:, :, k].sum())
    for row, column in np.ndindex(3, 40):
        windows = counts[row, column]
        stack = [packed(colours[k]) for k in order for _ in range(windows[k])]
        stack += [packed(OTHERS_COLOUR)] * windows[1] + [packed(UNLABELLED_COLOUR)] * windows[4]
        for level in range(height):
            expected = stack[int((level + 0.5) / height * len(stack))] if stack else 0
            assert image[2 - row, level, column] == expected


def test_a_remote_root_is_explored_as_a_folder_is(root: Path, opened: Opened, run: OpenedRun) -> None:
    fsspec.filesystem("memory").put(str(root), "/explored", recursive=True)
    remote = open_root("memory://explored")
    there = remote.run(RUN)
    assert (remote.runs, there.names) == (opened.runs, run.names)
    bins = Bins(START_NS, SEGMENT, N_SEGMENTS)
    (*_, found), (*_, expected) = count_classes(there, (0, 1), bins), count_classes(run, (0, 1), bins)
    np.testing.assert_array_equal(found.table, expected.table)
    assert remote.cube is not None
    assert opened.cube is not None
    np.testing.assert_array_equal(
        spectrogram(remote.cube, 1, after(0, 600)).power_db,
        spectrogram(opened.cube, 1, after(0, 600)).power_db,
    )
    np.testing.assert_array_equal(
        stored_share(remote.cube, (0, 1), bins), stored_share(opened.cube, (0, 1), bins)
    )


def test_everything_of_a_root_is_known_from_its_axes_alone(root: Path) -> None:
    opened = open_root(str(root))
    run = opened.run(RUN)
    assert opened.channels(run) == tuple(channels_of(N_CHANNELS))
    assert opened.span(run) == Span(START_NS, START_NS + N_SEGMENTS * SEGMENT)
    assert opened.span(None) == opened.span(run)
    assert opened.sources(channels_of(2)[1], run) == (channels_of(2)[1],)
    assert Places.at(str(root)).root == opened.places.root

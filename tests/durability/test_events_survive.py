"""Cubes of events: the same bytes from every engine, and after kill -9 in the middle."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from scaledec.config import Config, dump_config, parse_config
from scaledec.engines import Engine
from scaledec.engines.dask_local import DaskEngine
from scaledec.engines.serial import SerialEngine
from scaledec.location import Location
from scaledec.pipeline.cube import make_room, plan_of_cube
from scaledec.stages.cube import CubeContext, run_task
from scaledec.store.cubes import open_cube
from scaledec.store.event_cube import EventCubeStore
from scaledec.vocabulary import ChannelId, TaskResult, format_time
from tests.durability.children import differences, done_again, entries, finished, run, started, tree
from tests.stages.cube_archives import START_NS
from tests.stages.event_archives import RATE_HZ, noise_with_bursts, write_day

pytestmark = pytest.mark.durability

CHANNELS = [ChannelId("XX", station, "", code) for station in ("AAA", "BBB") for code in ("HHZ", "HHN")]
N_SEGMENTS = 48
SEGMENT = round(900 * RATE_HZ)
# In the middle of segments, and so near their borders that neighbours have to agree whose an event is.
BURSTS = [(first * SEGMENT + offset, 6_000.0) for first in range(1, 47, 3) for offset in (-30, 9_000)]
MODES = ("triggered", "catalog")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve hours of two stations with two channels each, and a catalogue of picks and origins."""
    folder = tmp_path_factory.mktemp("events")
    for seed, channel in enumerate(CHANNELS):
        write_day(folder, noise_with_bursts(N_SEGMENTS * SEGMENT, BURSTS, seed=seed), channel)
    rows = ["time,network,station,location,channel,phase"]
    for number, (first, _) in enumerate(BURSTS):
        source = f"XX,{'AAA' if number % 2 else 'BBB'},,HHZ,P" if number % 3 else ",,,,"
        rows.append(f"{format_time(START_NS + round(first / RATE_HZ * 1e9))},{source}")
    (folder / "catalog.csv").write_text("\n".join(rows))
    return folder


def config_of(folder: Path, root: Path, mode: str, *overrides: str) -> Config:
    text = f"""
        root: {root}
        archive: {{url: {folder / "sds"}, start: 2021-03-01, end: 2021-03-01T12:00:00}}
        spectrogram: {{sampling_rate_hz: 20, segment_s: 900, window_s: 1, overlap: 0.75, bandpass_hz: [1, 8]}}
        windows: {{mode: {mode}, length_s: 8, max_events: 40}}
        compute: {{dask: {{workers: 2}}}}
        """
    of_mode = {
        "triggered": ["windows.detector={sta_s: 0.5, lta_s: 20, on: 8, off: 3}", "windows.centre=true"],
        "catalog": [f"windows.catalog.url={folder / 'catalog.csv'}", "windows.before_s=3"],
    }[mode]
    return parse_config(text, [*of_mode, *overrides])


def build(config: Config, engine: Engine) -> list[TaskResult]:
    """Every task of a cube on an engine; their results by key, without what differs from run to run."""
    plan = plan_of_cube(config).plan
    context = CubeContext.of(config, cube=make_room(config, plan).location)
    results = sorted(engine.run(partial(run_task, context=context), plan.tasks), key=lambda r: r.key)
    assert {result.status for result in results} == {"done"}
    for result in results:
        assert isinstance(result.details, dict)
        del result.details["seconds"]
    return results


def cube_of(root: Path) -> EventCubeStore:
    cube = open_cube(Location(str(root / "cube.zarr")))
    assert isinstance(cube, EventCubeStore)
    return cube


@pytest.fixture(scope="module")
def dask() -> Iterator[Engine]:
    with DaskEngine(workers=2) as engine:
        yield engine


@pytest.mark.parametrize("mode", MODES)
def test_an_event_cube_is_the_same_to_the_byte_on_dask(
    mode: str, folder: Path, tmp_path: Path, dask: Engine
) -> None:
    with SerialEngine() as serial:
        expected = build(config_of(folder, tmp_path / "serial", mode), serial)
    assert build(config_of(folder, tmp_path / "dask", mode), dask) == expected
    found = [tree(tmp_path / engine / "cube.zarr") for engine in ("dask", "serial")]
    assert not differences(*found)
    cube = cube_of(tmp_path / "dask")
    counts = [sum(len(cube.read_segment(c, t)) for t in range(N_SEGMENTS)) for c in range(len(CHANNELS))]
    # A station's own picks and the origins; or every burst, on every channel.
    of_station = {
        "AAA": [n for n in range(32) if n % 2 or not n % 3],
        "BBB": [n for n in range(32) if not (n % 2 and n % 3)],
    }
    wanted = 32 if mode == "triggered" else None
    assert counts == [wanted or len(of_station[channel.station]) for channel in cube.channels]


@pytest.mark.heavy
@pytest.mark.ray
@pytest.mark.parametrize("mode", MODES)
def test_an_event_cube_is_the_same_to_the_byte_on_dask_on_ray(
    mode: str, folder: Path, tmp_path: Path
) -> None:
    for name, override in (("serial", "compute.engine=serial"), ("ray", "compute.dask.on_ray=true")):
        config = tmp_path / f"{name}.yaml"
        config.write_text(dump_config(config_of(folder, tmp_path / name, mode, override)))
        ended = run("cube", config)
        assert ended.code == 0, ended.told
    found = [tree(tmp_path / name / "cube.zarr") for name in ("ray", "serial")]
    assert not differences(*found)


@pytest.mark.heavy
@pytest.mark.parametrize("mode", MODES)
def test_an_event_cube_goes_on_where_its_driver_was_killed(mode: str, folder: Path, tmp_path: Path) -> None:
    config, whole = tmp_path / "killed.yaml", tmp_path / "whole.yaml"
    config.write_text(dump_config(config_of(folder, tmp_path / "killed", mode)))
    whole.write_text(dump_config(config_of(folder, tmp_path / "whole", mode, "compute.engine=serial")))
    with started("cube", config) as child:
        child.wait_until(lambda: len(entries(tmp_path / "killed", "cube")) >= 40, "40 segments")
        child.kill()
        child.wait()
        assert not child.orphans(), child.told
    before = finished(tmp_path / "killed", "cube")
    n_tasks = len(CHANNELS) * N_SEGMENTS
    assert 40 <= len(before) < n_tasks, "the kill came too late to show anything"
    ended = run("cube", config)
    assert ended.code == 0, ended.told
    assert f"{len(before)} done before" in ended.stderr, ended.told
    assert not done_again(tmp_path / "killed", "cube")
    assert run("cube", whole).code == 0
    assert len(finished(tmp_path / "killed", "cube")) == len(finished(tmp_path / "whole", "cube")) == n_tasks
    assert not differences(tree(tmp_path / "killed/cube.zarr"), tree(tmp_path / "whole/cube.zarr"))

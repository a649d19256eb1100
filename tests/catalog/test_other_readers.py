"""The stores in readers that share no code with zarr-python: tensorstore, and the codecs of zarrs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr

from scaledec.places import Places
from tests.catalog.making import EVENTS, WINDOWS, fill, make_store
from tests.store.making import full, make_cube, power

tensorstore = pytest.importorskip("tensorstore")
pytest.importorskip("zarrs")

Arrays = dict[str, npt.NDArray[Any]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Places:
    """A cube with an empty segment, labels at a stride and labels at events."""
    places = Places.at(str(tmp_path_factory.mktemp("readers")))
    cube = make_cube(places.cube)
    for channel, segment in ((0, 0), (0, 2), (1, 1)):
        cube.write_segment(channel, segment, power(channel + 7 * segment), full())
    for run, windows in (("stride", WINDOWS), ("events", EVENTS)):
        fill(places, make_store(places, run, windows=windows, n_days=20), run)
    return places


@pytest.fixture(scope="module", params=["cube", "stride", "events"])
def store(request: pytest.FixtureRequest, root: Places) -> Path:
    return root.cube.path if request.param == "cube" else root.labels(request.param).path


def by_zarr_python(store: Path) -> Arrays:
    group = zarr.open_group(store, mode="r")
    return {name: np.asarray(array[...]) for name, array in group.arrays()}


@pytest.fixture(scope="module")
def expected(store: Path) -> Arrays:
    return by_zarr_python(store)


def test_tensorstore_reads_the_same(store: Path, expected: Arrays) -> None:
    numbers = {name: values for name, values in expected.items() if values.dtype.kind in "iuf"}
    # Text is an extension of Zarr 3 that tensorstore has not; the names of channels are all there is of it.
    assert expected.keys() - numbers.keys() == {"channel"}
    assert numbers.keys() > {"power", "coverage"} or numbers.keys() > {"label", "confidence", "state"}
    for name, values in numbers.items():
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / name)}}
        found = tensorstore.open(spec, open=True, read=True).result().read().result()
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values, err_msg=name)


@pytest.fixture
def zarrs_codecs() -> Iterator[None]:
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        yield


@pytest.mark.usefixtures("zarrs_codecs")
def test_the_codecs_of_zarrs_read_the_same(store: Path, expected: Arrays) -> None:
    import zarrs

    sharded = zarr.open_group(store, mode="r")["power" if "power" in expected else "label"]
    assert isinstance(sharded, zarr.Array)
    assert isinstance(sharded._async_array.codec_pipeline, zarrs.ZarrsCodecPipeline)
    found = by_zarr_python(store)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)

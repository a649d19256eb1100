"""The same command line on another engine gives the same bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.durability.children import assert_reads_well, differences, run
from tests.durability.conftest import Reference, write_config

pytestmark = [pytest.mark.durability, pytest.mark.ray]


@pytest.mark.parametrize(
    "engine", [["compute.engine=serial"], ["compute.dask.on_ray=true"]], ids=["serial", "dask on ray"]
)
def test_a_cube_is_the_same_to_the_byte_as_one_made_by_dask(
    engine: list[str], two_days: Path, reference: Reference, tmp_path: Path
) -> None:
    work = write_config(tmp_path, two_days)
    ended = run("cube", work.config, *(word for key in engine for word in ("--set", key)))
    assert ended.code == 0, ended.told
    assert not differences(work.cube, reference.work.cube), ended.told
    assert_reads_well(ended.stderr)


def test_what_a_whole_run_tells_is_sentences(reference: Reference) -> None:
    assert_reads_well(reference.ended.stderr)
    assert reference.ended.stdout == ""
    lines = reference.ended.stderr.splitlines()
    for stage in ("cube", "training set", "pretrain", "cluster", "label"):
        assert any(line.startswith(f"{stage}: ") for line in lines), reference.ended.told

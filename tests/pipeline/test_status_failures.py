"""`scaledec status --failures` lists every input that could not be used, those of no task included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from scaledec.cli.main import main
from scaledec.config import Config, dump_config
from tests.archive.station_making import Epoch, station_xml
from tests.stages.cube_archives import CHANNEL, configure, red_noise, sds_path, write_sds
from tests.stages.cube_archives import START_NS as FIRST_NS

SEGMENT = 72_000


Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs a command line here: its exit code, stdout and stderr."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*map(str, arguments)])
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def write(config: Config, folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(dump_config(config))
    return path


@pytest.fixture
def stations(tmp_path: Path) -> Path:
    """A good document, whose channel ended at four o'clock, and one that is none."""
    folder = tmp_path / "stations"
    folder.mkdir()
    (folder / "XX.AAA.xml").write_bytes(station_xml([Epoch(end="2021-03-01T04:00:00")]))
    (folder / "broken.xml").write_text("<html>503 Service Unavailable</html>")
    return folder


def test_documents_and_channels_outside_their_epochs_are_listed(
    tmp_path: Path, stations: Path, told: Told
) -> None:
    write_sds(tmp_path / "sds", red_noise(3 * SEGMENT))
    config = configure(tmp_path, "compute.engine=serial", f"archive.stationxml={stations}")
    path = write(config, tmp_path)
    for words in ("1 segments written", "0 segments written"):
        # Also where nothing is left to do: what could not be used is not better for being old.
        code, _, stderr = told("cube", path)
        assert code == 3, stderr
        assert stderr.count("could not use") == 2
        if words == "0 segments written":
            assert words in stderr
    code, stdout, _ = told("status", path, "--failures")
    assert code == 0
    assert "2 inputs could not be used" in stdout
    listed = dict(line.split("\t") for line in stdout.splitlines() if "\t" in line)
    assert listed.keys() == {"broken.xml", str(CHANNEL)}
    assert "lie outside every operating epoch" in listed[str(CHANNEL)]
    (stations / "broken.xml").unlink()
    (stations / "XX.AAA.xml").write_bytes(station_xml([Epoch()]))
    assert told("cube", path)[0] == 0
    assert "\t" not in told("status", path, "--failures")[1]


def test_files_without_a_readable_header_are_listed_beside_what_failed_later(
    tmp_path: Path, told: Told
) -> None:
    write_sds(tmp_path / "sds", red_noise(SEGMENT))
    day = sds_path(tmp_path / "sds", FIRST_NS)
    day.with_name("page").write_text("<html>not found</html>")
    path = write(configure(tmp_path, "compute.engine=serial", layout="files"), tmp_path)
    assert told("cube", path)[0] == 3
    _, stdout, _ = told("status", path, "--failures")
    assert "1 inputs could not be used" in stdout
    assert [line for line in stdout.splitlines() if line.startswith("2021/XX/AAA/BHZ.D/page\t")]

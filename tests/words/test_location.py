"""Places: local and remote alike, whole objects or none, no credential in print."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaledec.errors import ConfigError, StoreError, StoreNotFoundError
from scaledec.location import Location
from scaledec.places import Places


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    return Location(str(tmp_path / "here") if request.param == "local" else f"memory://{tmp_path.name}/here")


def test_what_is_written_is_read_and_listed(place: Location) -> None:
    place.child("b", "two").write_bytes(b"2")
    place.child("a").write_bytes(b"1")
    assert place.child("b", "two").read_bytes() == b"2"
    assert place.list_names() == ["a", "b"]
    assert place.child("b").exists()


def test_an_object_is_replaced_whole_and_leaves_no_partial_file(place: Location) -> None:
    place.child("a").write_bytes(b"old and long")
    place.child("a").write_bytes(b"new")
    assert place.child("a").read_bytes() == b"new"
    assert place.list_names() == ["a"]


def test_nothing_there_is_an_error_of_its_own(place: Location) -> None:
    assert place.list_names() == []
    with pytest.raises(StoreNotFoundError, match="nothing at"):
        place.child("none").read_bytes()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot write .*file/below"):
        Location(str(tmp_path / "file" / "below")).write_bytes(b"")


def test_an_unknown_scheme_says_what_to_install() -> None:
    with pytest.raises(StoreError, match="install the fsspec package"):
        Location("nonesuch://bucket/key").filesystem()


def test_credentials_are_never_printed() -> None:
    place = Location("https://user:secret@host/path", {"key": "secret", "password": "secret"})
    assert "secret" not in f"{place} {place!r} {place.child('a')}"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_a_run_name_that_would_leave_its_folder_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="plain name"):
        Places.at("root").run(name)

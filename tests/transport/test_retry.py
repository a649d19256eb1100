"""What is tried again, how often, after how long, and what the last error says; against real servers."""

from __future__ import annotations

import itertools
import time
import uuid
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from scaledec.archive.folders import entries, walk_files
from scaledec.archive.objects import read_object
from scaledec.errors import ArchiveError, StoreError, StoreNotFoundError, UnreadableInputError
from scaledec.location import Location
from scaledec.transport.access import Access
from scaledec.transport.remote import client_options
from scaledec.vocabulary import ArchiveObject
from tests.servers import FaultProxy, Server, serving

QUICK = Access(attempts=4, timeout_s=2, first_wait_s=0.01)


class Scripted(BaseHTTPRequestHandler):
    """Answers as the list ``server.script`` says, then with 200 and ``content``."""

    protocol_version = "HTTP/1.1"
    content = b"0123456789"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._headers(200, len(self.content))

    def do_GET(self) -> None:
        server: Any = self.server
        server.seen.append(time.monotonic())
        step = server.script.pop(0) if server.script else 200
        if step == "cut":
            self._headers(200, len(self.content))
            self.wfile.write(self.content[:4])
            self.close_connection = True
        elif step == "short":  # whole by its own header, but less than the object has
            self._headers(200, 4)
            self.wfile.write(self.content[:4])
        elif step == "silent":
            time.sleep(3)
            self.close_connection = True
        elif step == "closed":
            self.close_connection = True
        else:
            wait = {"Retry-After": "1"} if step == 429 else {}
            body = self.content if step == 200 else b"no"
            self._headers(step, len(body), wait)
            self.wfile.write(body)

    def _headers(self, status: int, length: int, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), "ETag": '"v1"', **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()


@pytest.fixture
def server() -> Any:
    with serving(Scripted) as running:
        running.seen, running.script = [], []  # type: ignore[attr-defined]
        yield running


ITEM = ArchiveObject("day.ms", 10, "v1")


def read(server: Server, access: Access = QUICK, item: ArchiveObject = ITEM) -> bytes:
    return read_object(Location(f"{server.url}/archive", {"skip_instance_cache": True}, access), item)


@pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, "cut", "short", "closed", "silent"])
def test_what_may_pass_is_tried_again(server: Any, fault: int | str) -> None:
    server.script = [fault, fault] if fault not in (429, "silent") else [fault]
    expected = len(server.script) + 1
    assert read(server) == Scripted.content
    assert len(server.seen) == expected


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_what_does_not_pass_is_asked_once(server: Any, status: int) -> None:
    server.script = [status] * 4
    with pytest.raises(UnreadableInputError, match=r"archive/day\.ms"):
        read(server)
    assert len(server.seen) == 1


def test_the_server_says_how_long_to_wait(server: Any) -> None:
    server.script = [429]
    read(server)
    first, second = server.seen
    assert 0.95 <= second - first < 1.9


def test_waits_grow_and_are_not_all_alike(server: Any) -> None:
    server.script = [503] * 3
    read(server, Access(attempts=4, timeout_s=2, first_wait_s=0.1))
    times = server.seen
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    for wait, longest in zip(waits, (0.1, 0.3, 0.9), strict=True):
        assert 0.45 * longest < wait < longest + 0.25


def test_the_last_error_names_object_attempts_and_cause(server: Any) -> None:
    server.script = [503] * 9
    with pytest.raises(UnreadableInputError, match=r"archive/day\.ms.*after 4 attempts.*503"):
        read(server)
    assert len(server.seen) == 4


def test_a_body_that_stays_short_is_never_taken_for_the_object(server: Any) -> None:
    server.script = ["short"] * 9
    with pytest.raises(UnreadableInputError, match="4 bytes came of 10"):
        read(server)


def test_an_object_that_changed_since_it_was_listed_says_so(server: Any) -> None:
    for item in (ArchiveObject("day.ms", 10, "v0"), ArchiveObject("day.ms", 12, "v1")):
        with pytest.raises(UnreadableInputError, match=r"day\.ms has changed since it was listed.*run again"):
            read(server, item=item)


def test_a_listing_is_tried_again_and_then_names_the_place(s3_options: dict[str, Any]) -> None:
    place = f"s3://bucket/{uuid.uuid4().hex}"
    Location(f"{place}/a/b", s3_options).write_bytes(b"1")
    proxy = FaultProxy(s3_options["endpoint_url"], share=0.6, seed=1, kinds=("503", "cut", "reset", "lost"))
    with proxy.running() as url:
        options = {**s3_options, "endpoint_url": url}
        patient = Location(
            place, options, Access(attempts=20, timeout_s=2, first_wait_s=0.001, longest_wait_s=0.01)
        )
        for _ in range(5):
            assert [entry.name for entry in entries(patient)] == ["a"]
            assert [entry.name for entry in walk_files(patient)] == ["a/b"]
        proxy.share = 1.0
        with pytest.raises(ArchiveError, match=r"cannot list s3://bucket/.*after 2 attempts"):
            entries(Location(place, options, Access(attempts=2, timeout_s=2, first_wait_s=0.001)))
    assert len(proxy.faults) == 4


def test_objects_are_written_read_and_removed_through_faults(s3_options: dict[str, Any]) -> None:
    proxy = FaultProxy(s3_options["endpoint_url"], share=0.4, seed=3)
    with proxy.running() as url:
        access = Access(attempts=20, timeout_s=2, first_wait_s=0.001, longest_wait_s=0.01)
        folder = Location(f"s3://bucket/{uuid.uuid4().hex}", {**s3_options, "endpoint_url": url}, access)
        contents = {str(number): uuid.uuid4().bytes * 5000 for number in range(10)}
        for name, content in contents.items():
            folder.child(name).write_bytes(content)
        assert folder.list_names() == sorted(contents)
        assert {name: folder.child(name).read_bytes() for name in contents} == contents
        folder.child("3").remove()
        assert folder.child("4").exists()
        assert not folder.child("3").exists()
        folder.remove()
        assert folder.list_names() == []
    assert set(proxy.faults) == {"503", "reset", "slow", "cut", "lost"}


def test_an_object_of_s3_takes_one_request(s3_options: dict[str, Any]) -> None:
    base = Location(f"s3://bucket/{uuid.uuid4().hex}", s3_options)
    base.child("a").write_bytes(b"content")
    (entry,) = entries(base)
    proxy = FaultProxy(s3_options["endpoint_url"], share=0)
    with proxy.running() as url:
        through = Location(base.url, {**s3_options, "endpoint_url": url})
        assert read_object(through, ArchiveObject("a", entry.size, entry.version)) == b"content"
        assert len(proxy.requests) == 1
        with pytest.raises(UnreadableInputError, match="has changed since it was listed"):
            read_object(through, ArchiveObject("a", entry.size, "another"))


def test_what_is_not_allowed_is_not_asked_for_again(s3_options: dict[str, Any]) -> None:
    proxy = FaultProxy(s3_options["endpoint_url"], share=0)
    with proxy.running() as url:
        wrong = Location("s3://bucket/a", {**s3_options, "endpoint_url": url, "secret": "wrong-secret"})
        with pytest.raises(StoreError, match="s3://bucket/a") as refused:
            wrong.read_bytes()
        assert "wrong-secret" not in str(refused.value)
        assert len(proxy.requests) == 1
        with pytest.raises(StoreNotFoundError):
            Location("s3://bucket/none", {**s3_options, "endpoint_url": url}).read_bytes()
        assert len(proxy.requests) == 2


def test_a_server_that_is_not_there_is_given_up_on() -> None:
    place = Location("http://127.0.0.1:9/archive", {"skip_instance_cache": True}, QUICK)
    with pytest.raises(UnreadableInputError, match="after 4 attempts"):
        read_object(place, ITEM)


def test_the_region_of_a_bucket_is_asked_for_unless_it_is_given() -> None:
    access = Access()
    assert client_options("s3", {"anon": True}, access)["cache_regions"]
    for known in (
        {"endpoint_url": "http://localhost"},
        {"client_kwargs": {"region_name": "us-west-2"}},
        {"cache_regions": False},
    ):
        assert not client_options("s3", known, access)["cache_regions"]


def test_what_the_user_says_of_a_client_wins() -> None:
    options = client_options("s3", {"config_kwargs": {"read_timeout": 7}}, Access(timeout_s=30))
    assert options["config_kwargs"]["read_timeout"] == 7
    assert options["config_kwargs"]["connect_timeout"] == 10
    assert client_options("gs", {"token": "anon"}, Access()) == {"token": "anon"}

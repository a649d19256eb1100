"""A bucket's region is asked for, and requests go there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from scaledec.location import Location
from scaledec.transport.access import Access
from tests.servers import serving


class Buckets(BaseHTTPRequestHandler):
    """Knows where each bucket is, and gives every object the content ``1``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(b"")

    def do_GET(self) -> None:
        scope = re.search(r"Credential=\w+/\d+/([\w-]+)/s3", self.headers.get("Authorization", ""))
        self.server.regions.append(scope[1] if scope else None)  # type: ignore[attr-defined]
        self._answer(b"1")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("x-amz-bucket-region", "ap-nowhere-7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Stands for all of S3: its address is not part of the options, as it is not for the real one."""
    with serving(Buckets) as running:
        running.regions = []  # type: ignore[attr-defined]
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", running.url)
        monkeypatch.delenv("AWS_REGION", raising=False)
        monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
        yield running


def read(**options: Any) -> bytes:
    keys = {"key": "user", "secret": "secret-of-user", "skip_instance_cache": True}
    place = Location("s3://bucket/a", {**keys, **options}, Access(attempts=1, timeout_s=5))
    return place.read_bytes()


def test_requests_are_signed_for_the_region_that_the_bucket_names(server: Any) -> None:
    assert read() == b"1"
    assert server.regions == ["ap-nowhere-7"]


def test_a_region_that_is_given_is_taken(server: Any) -> None:
    assert read(client_kwargs={"region_name": "eu-west-3"}) == b"1"
    assert server.regions == ["eu-west-3"]


def test_anonymous_requests_are_not_signed(server: Any) -> None:
    place = Location("s3://bucket/a", {"anon": True, "skip_instance_cache": True}, Access(attempts=1))
    assert place.read_bytes() == b"1"
    assert server.regions == [None]

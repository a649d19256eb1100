"""No secret of a URL, an option or the environment is told."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from scaledec.archive.archive import open_archive
from scaledec.config import parse_config
from scaledec.errors import ArchiveError, StoreError
from scaledec.location import Location
from scaledec.pipeline.plan import plan
from scaledec.pipeline.record import recorded
from scaledec.transport.redact import redacted, url_without_secrets

SECRETS = ("hunter2-password", "s3cr3t-key-material", "tok-0123456789", "AKIAABCDEFGHIJKLMNOP")
OPTIONS = {
    "key": "AKIAABCDEFGHIJKLMNOP",
    "secret": "s3cr3t-key-material",
    "client_kwargs": {"headers": {"Authorization": "Bearer tok-0123456789"}},
}


def assert_silent(text: str) -> None:
    assert not [secret for secret in SECRETS if secret in text], text


@pytest.mark.parametrize(
    "text",
    [
        "GET https://me:hunter2-password@host/a",
        "https://host/a?X-Amz-Credential=AKIAABCDEFGHIJKLMNOP%2F2026&X-Amz-Signature=tok-0123456789",
        "{'Authorization': 'Bearer tok-0123456789'}",
        "Authorization: Basic tok-0123456789",
        "account_key=s3cr3t-key-material;EndpointSuffix=x",
        "AWSAccessKeyId=AKIAABCDEFGHIJKLMNOP",
        "password: hunter2-password",
        "sas_token='tok-0123456789'",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    assert_silent(redacted(text))


def test_values_of_options_are_taken_out_wherever_they_stand() -> None:
    assert_silent(redacted(f"strange: {SECRETS[1]}{SECRETS[3]}, {OPTIONS}", OPTIONS))


def test_credentials_of_the_environment_are_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t-key-material")
    assert_silent(redacted("cannot sign with s3cr3t-key-material"))


def test_the_rest_of_a_text_stays() -> None:
    plain = "cannot read s3://bucket/2021/XX.A..HHZ.D.2021.001: 503, gave up after 5 attempts (key not found)"
    assert redacted(plain, {"anon": True, "endpoint_url": "http://host:9000"}) == plain


def test_a_url_is_shown_without_user_and_signature_but_with_what_it_asks_for() -> None:
    shown = url_without_secrets("https://me:hunter2-password@host/query?net=CI&sta=WBM&sig=tok-0123456789")
    assert shown == "https://host/query?net=CI&sta=WBM&sig=***"
    assert url_without_secrets("/data/a?b*@c") == "/data/a?b*@c"


def test_errors_of_places_tell_no_secret_not_even_in_a_traceback(s3_options: dict[str, Any]) -> None:
    options = {**s3_options, **OPTIONS, "client_kwargs": {}}
    for attempt in (
        lambda: Location("s3://bucket/a", options).read_bytes(),
        lambda: Location("s3://bucket/a", options).write_bytes(b"1"),
        lambda: Location("s3://bucket/a", options).list_names(),
    ):
        with pytest.raises(StoreError) as refused:
            attempt()
        assert_silent("".join(traceback.format_exception(refused.value)))


def test_an_archive_that_cannot_be_reached_tells_no_secret(tmp_path: Path) -> None:
    text = f"""
        root: {tmp_path}
        archive:
          url: https://me:hunter2-password@127.0.0.1:9/sds?token=tok-0123456789
          storage_options: {{headers: {{X-Api-Key: s3cr3t-key-material}}}}
          access: {{attempts: 1}}
        """
    config = parse_config(text)
    with pytest.raises(ArchiveError) as refused:
        open_archive(config.archive).listing()
    assert_silent("".join(traceback.format_exception(refused.value)))
    with pytest.raises(ArchiveError) as refused:
        plan(config)
    assert_silent(str(refused.value))
    with recorded(config, "cube"):
        pass
    (record,) = (tmp_path / "_scaledec" / "records").iterdir()
    assert_silent(record.read_text())
    assert "127.0.0.1:9/sds" in record.read_text()

"""Who is let in, who is not, and how it ends."""

from __future__ import annotations

import base64
import http.client
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from scaledec.errors import ConfigError
from scaledec.explore.opened import Opened
from scaledec.explore.server import ExploreServer, _listen, leading_to
from tests.explore.serving import Served, served


@pytest.fixture(scope="module")
def page(root: Path) -> Iterator[Served]:
    with served(str(root)) as found:
        yield found


def ask(page: Served, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=30)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, found, answer.read().decode(errors="replace")
    finally:
        connection.close()


def shake_hands(page: Served, path: str, **headers: str) -> int:
    """Ask for a websocket; the status of the answer."""
    wanted = {
        "Host": f"127.0.0.1:{page.port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        "Sec-WebSocket-Version": "13",
        "Origin": f"http://127.0.0.1:{page.port}",
        **headers,
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in wanted.items())
    with socket.create_connection(("127.0.0.1", page.port), timeout=30) as found:
        found.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return int(found.recv(4096).split()[1])


def test_the_page_is_for_who_has_the_token(page: Served) -> None:
    status, headers, text = ask(page, f"/{page.token}/")
    assert status == 200
    assert "scaledec" in text
    assert headers["referrer-policy"] == "no-referrer"
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert "https://" not in "".join(part for part in text.split() if part.startswith(("src=", "href=")))


@pytest.mark.parametrize(
    "path", ["/", "/wrong/", "/favicon.ico", "/static/js/bokeh.min.js", "/ws", "/autoload.js", "//", "/%00/"]
)
def test_without_the_token_nothing_is_told(page: Served, path: str) -> None:
    status, headers, text = ask(page, path)
    assert status == 403
    assert page.token not in text + str(headers)
    assert len(text) < 200


def test_a_token_that_is_nearly_right_is_wrong(page: Served) -> None:
    for token in (page.token[:-1], page.token + "x", page.token.swapcase(), f"x/{page.token}"):
        assert ask(page, f"/{token}/")[0] == 403


def test_another_host_is_refused_even_with_the_token(page: Served) -> None:
    for host in ("evil.example", f"evil.example:{page.port}", "127.0.0.1", f"127.0.0.1:{page.port + 1}", ""):
        assert ask(page, f"/{page.token}/", Host=host)[0] == 403
    assert ask(page, f"/{page.token}/", Host=f"localhost:{page.port}")[0] == 200


def test_a_websocket_needs_token_host_and_origin(page: Served) -> None:
    own = f"/{page.token}/ws"
    assert shake_hands(page, "/ws") == 403
    assert shake_hands(page, f"/{page.token[:-2]}xx/ws") == 403
    assert shake_hands(page, own, Host="evil.example") == 403
    assert shake_hands(page, own, Origin="http://evil.example") == 403
    assert shake_hands(page, own) == 101


def test_it_listens_on_loopback_only(page: Served) -> None:
    with pytest.raises(OSError, match=r"refused|unreachable"):
        # All of 127/8 is this machine: a server on every address would answer there.
        socket.create_connection(("127.0.0.2", page.port), timeout=5)


def test_ctrl_c_ends_it_cleanly_and_the_token_is_printed_once(root: Path) -> None:
    with served(str(root)) as page:
        assert ask(page, f"/{page.token}/")[0] == 200
        assert ask(page, f"/{page.token}/nothing/there")[0] == 404
        code, said = page.end()
    assert code == 0
    assert page.token not in said
    assert "Traceback" not in said
    assert said.splitlines()[0].startswith("the page is open until Ctrl-C")


def test_the_address_a_browser_is_started_with_holds_no_token_and_is_for_its_user_alone() -> None:
    url = "http://127.0.0.1:1/secret/"
    with leading_to(url) as address:
        assert "secret" not in address
        page = Path(urlsplit(address).path)
        assert f"url={url}" in page.read_text()
        assert page.parent.stat().st_mode & 0o077 == 0
    assert not page.exists()


def test_a_port_that_is_taken_is_told(page: Served) -> None:
    with pytest.raises(ConfigError, match=rf"port {page.port} of 127\.0\.0\.1 cannot be had"):
        _listen(page.port)


def test_where_panel_is_missing_a_sentence_says_what_to_install(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "panel", None)
    with pytest.raises(ConfigError, match=r"not installed: pip install 'scaledec\[explore\]'"):
        ExploreServer(lambda: opened)

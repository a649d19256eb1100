"""A headless Chromium for tests that open pages as a reader would."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

__all__ = ["Visit", "chromium", "find_chromium", "overflow_px", "visit"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Visit:
    """An open page and what it did: the page is Playwright's, in its synchronous form."""

    page: Any
    errors: list[str] = field(default_factory=list)
    """What the console called an error, and exceptions that nobody caught."""
    requests: list[str] = field(default_factory=list)
    """Every address that was asked for, the page's own first; what is embedded is none."""


def find_chromium() -> str | None:
    """Path of a Chromium that the system brings; browsers are never downloaded."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; skips the test where there is none."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium: apt-get install chromium to open pages in a test")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright to drive a browser")
    with sync_api.sync_playwright() as playwright:
        # The sandbox needs rights that a container rarely has; only pages of our own are opened.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(browser: Any, address: str | Path, *, width: int = 1280, height: int = 900) -> Iterator[Visit]:
    """Open a page, by URL or as a file, in a window of this size; ready when everything has loaded."""
    page = browser.new_page(viewport={"width": width, "height": height})
    found = Visit(page)
    page.on("console", lambda said: found.errors.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: found.errors.append(str(error)))
    page.on("request", lambda asked: _keep(found.requests, asked.url))
    try:
        page.goto(address.as_uri() if isinstance(address, Path) else address, wait_until="load")
        yield found
    finally:
        page.close()


def overflow_px(page: Any) -> int:
    """By how many pixels the page is wider than its window: 0 for a page that never scrolls sideways."""
    root = "document.documentElement"
    return int(page.evaluate(f"{root}.scrollWidth - {root}.clientWidth"))


def _keep(requests: list[str], url: str) -> None:
    if not url.startswith(("data:", "blob:")):
        requests.append(url)

"""The browser of the tests itself: what a page does wrong must be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser import overflow_px, visit


def test_a_visit_tells_errors_requests_and_overflow_of_a_page(browser: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<body style='margin:0'><div style='width:500px'>wide</div><img src='gone.png'>"
        "<script>console.error('said'); throw new Error('thrown')</script>"
    )
    with visit(browser, bad, width=390) as found:
        assert overflow_px(found.page) == 110
        assert {"said", "thrown"} <= set(found.errors)
        assert found.requests == [bad.as_uri(), (tmp_path / "gone.png").as_uri()]
    good = tmp_path / "good.html"
    good.write_text("<link rel='icon' href='data:,'><p>nothing wrong")
    with visit(browser, good) as found:
        assert (overflow_px(found.page), found.errors, found.requests) == (0, [], [good.as_uri()])

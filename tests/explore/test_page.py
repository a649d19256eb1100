"""The page as a reader meets it, in a headless Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scaledec.synthetic.labels import SimulatedLabels, write_simulated_labels
from tests.browser import overflow_px, visit
from tests.explore.serving import Served, served
from tests.stages.small_cubes import channels_of, make_cube, small_config

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def page(root: Path) -> Iterator[Served]:
    with served(str(root)) as found:
        yield found


def column(page: Any, source: str, name: str) -> list[Any]:
    """A column of what a figure draws, as the browser has it."""
    found = page.evaluate(
        """([source, name]) => {
            const model = Bokeh.documents[0].get_model_by_name(source)
            const values = model?.data?.[name] ?? []
            return Array.from(values, (one) => typeof one === 'object' ? Array.from(one) : one)
        }""",
        [source, name],
    )
    return list(found)


def wait_for(page: Any, source: str, condition: str) -> None:
    """Until the data of a figure are as a JavaScript expression of ``data`` says."""
    page.wait_for_function(
        f"""() => {{
            const data = globalThis.Bokeh?.documents[0]?.get_model_by_name('{source}')?.data
            return data !== undefined && ({condition})
        }}""",
        timeout=60_000,
    )


def click(page: Any, figure: int, x: float, y: float) -> None:
    """Click into the figure of this number from the page's top, at a share of its width and height."""
    box = page.locator(".bk-Figure").nth(figure).bounding_box()
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def test_from_a_station_and_a_class_down_to_a_window(page: Served, browser: Any) -> None:
    from playwright.sync_api import expect

    with visit(browser, page.url, width=1400, height=1300) as found:
        view = found.page
        wait_for(view, "counts", "data.n?.length > 0")
        wait_for(view, "spectrogram", "data.image?.length == 1")
        wait_for(view, "samples", "data.y?.length > 100")
        everything = sum(column(view, "counts", "n"))
        before = column(view, "spectrogram", "image")[0][0]

        view.get_by_role("button", name="none", exact=True).click()
        wait_for(view, "counts", "data.n?.length == 0")
        view.get_by_text("1 icequake, ice front  (").click()
        wait_for(view, "counts", "data.n?.length > 0")
        assert 0 < sum(column(view, "counts", "n")) < everything
        assert set(column(view, "counts", "name")) == {"1 icequake, ice front"}

        click(view, 1, 0.5, 0.7)  # the third row of the timeline
        wait_for(view, "spectrogram", f"data.image?.length == 1 && data.image[0][0] != {before}")

        click(view, 3, 0.5, 0.5)
        facts = view.locator("table.facts")
        facts.get_by_text("confidence").wait_for()
        assert "XX.S01..HHN" in facts.inner_text()
        before = facts.inner_text()
        view.get_by_role("button", name="next of its class").click()
        expect(facts).not_to_have_text(before, use_inner_text=True)
        was, now = (text.split("class")[1].split("\n")[0] for text in (before, facts.inner_text()))
        assert was == now
        assert overflow_px(view) == 0
        assert found.errors == []
        assert all(request.startswith(page.url) for request in found.requests), found.requests


@pytest.mark.heavy
def test_a_hundred_stations_and_thirty_classes_fit(browser: Any, tmp_path: Path) -> None:
    many = SimulatedLabels(stations=100, channels_per_station=1, segments=40, window_s=256.0, classes=30)
    store = write_simulated_labels(str(tmp_path), many)
    labelled = sum(
        int((store.read_region(index, 0, 40).label >= 0).sum()) for index in range(len(many.channels))
    )
    with (
        served(str(tmp_path)) as page,
        visit(browser, page.url, width=1280, height=900) as found,
    ):
        found.page.get_by_text(f"{labelled:,} windows with a label").wait_for(timeout=120_000)
        assert sum(column(found.page, "counts", "n")) == labelled
        assert overflow_px(found.page) == 0
        height = found.page.evaluate("document.documentElement.scrollHeight")
        assert height < 1800, "a timeline of a hundred rows scrolls by itself"
        found.page.get_by_text("no Zarr store at").first.wait_for()
        assert found.errors == []


@pytest.mark.heavy
def test_a_cube_without_labels_can_be_looked_at(browser: Any, tmp_path: Path) -> None:
    make_cube(small_config(tmp_path), channels_of(3), 4, empty=[(1, 2)])
    with (
        served(str(tmp_path)) as page,
        visit(browser, page.url, width=1280, height=900) as found,
    ):
        wait_for(found.page, "spectrogram", "data.image?.length == 1")
        wait_for(found.page, "timeline", "data.image?.length == 1")
        found.page.get_by_text("No labels below this root yet").wait_for()
        assert overflow_px(found.page) == 0
        assert found.errors == []

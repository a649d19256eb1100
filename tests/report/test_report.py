"""The page as a reader opens it, and what it says where there is nothing to show."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scaledec.errors import StoreNotFoundError
from scaledec.location import Location
from scaledec.pipeline.report import config_of_run, write_report
from scaledec.places import Places
from scaledec.report.canvas import save_figure
from scaledec.report.gather.view import RunView
from scaledec.report.sections.series import SeriesSource, series_section
from scaledec.stages.select_k import KRow, KSelection, keep_selection, kept_selection
from tests.browser import overflow_px, visit
from tests.report.making import HARD_NAME, RUN, Made, make_run

SELECTION = KSelection(
    tuple(
        KRow(k, 9.0 / k, math.nan if k == 1 else 0.5, 0.1, 0.1, 0.1, 0.1, 5.0, 0.9, 0.8) for k in (1, 2, 3)
    ),
    400,
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with everything, and with a name that is hard to show."""
    folder = tmp_path_factory.mktemp("report")
    config = make_run(folder, Made(hard_names=True))
    keep_selection(Places.at(config.root).run(RUN), SELECTION)
    return write_report(config, folder=folder / "page")


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_opens_without_errors_requests_or_scrolling_sideways(
    browser: Any, page: Path, width: int
) -> None:
    with visit(browser, page, width=width) as found:
        assert found.errors == []
        assert found.requests == [page.as_uri()]
        assert overflow_px(found.page) == 0
        images = found.page.eval_on_selector_all("img", "all => all.map(i => i.complete && i.naturalWidth)")
        assert len(images) >= 4
        assert min(images) > 300
        shown = found.page.eval_on_selector_all("img", "all => all.map(i => i.width / i.naturalWidth)")
        assert max(shown) < 0.7
        found.page.screenshot(path=page.parent / f"screen-{width}.png", full_page=True)


def test_the_page_fits_on_paper_without_its_contents(browser: Any, page: Path) -> None:
    with visit(browser, page, width=794) as found:
        found.page.emulate_media(media="print")
        assert overflow_px(found.page) == 0
        assert not found.page.locator("nav").is_visible()


def test_every_entry_of_the_contents_leads_to_its_heading(browser: Any, page: Path) -> None:
    with visit(browser, page) as found:
        links = found.page.locator("nav a")
        assert links.count() > 4
        for number in range(links.count()):
            links.nth(number).click()
            target = found.page.locator(links.nth(number).get_attribute("href"))
            found.page.wait_for_timeout(50)
            assert target.locator("h2").inner_text() == links.nth(number).inner_text()
            target.locator("h2").wait_for(state="visible")


def test_a_name_is_shown_as_it_was_given_and_is_never_markup(browser: Any, page: Path) -> None:
    with visit(browser, page) as found:
        assert found.page.locator("#summary tbody tr").nth(1).locator("td").nth(0).inner_text() == (
            f"1 {HARD_NAME}"
        )
        assert found.page.locator("script, b").count() == 0


def test_every_figure_is_there_as_png_and_svg_and_linked(page: Path) -> None:
    links = re.findall(r'href="(figures/[^"]+)"', page.read_text())
    assert links
    assert all((page.parent / link).stat().st_size > 2000 for link in links)
    assert {Path(link).suffix for link in links} == {".png", ".svg"}


@pytest.fixture(scope="module")
def bare_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The report of labels and nothing else, whose configuration holds secrets."""
    folder = tmp_path_factory.mktemp("bare")
    bare = Made(cube=False, training=False, model=False, metrics=False, coordinates=False, segments=3)
    config = make_run(folder, bare)
    archive = {
        "layout": "cube",
        "url": "https://me:hunter2@example.invalid/data.zarr",
        "storage_options": {"key": "hunter3"},
    }
    secret = config.model_copy(update={"archive": config.archive.model_copy(update=archive)})
    return write_report(secret, folder=folder / "page").read_text()


def test_a_report_of_bare_labels_says_what_is_missing(bare_page: str) -> None:
    said = " ".join(re.findall(r'<p class="missing">(.*?)</p>', bare_page))
    for sentence in (
        "The cube is gone",
        "The training set is gone",
        "The model is gone",
        "The run keeps no metrics",
        "Waveforms are not shown: the archive holds spectrograms, no waveforms",
        "No coordinates of XX.S000, XX.S001",
        "run <code>scaledec select-k CONFIG</code>",
        "No truth is known",
    ):
        assert sentence in said, sentence


def test_secrets_of_the_configuration_stay_out_of_the_page(bare_page: str) -> None:
    assert "hunter" not in bare_page
    assert "example.invalid" in bare_page


def test_a_root_and_a_run_are_enough(tmp_path: Path) -> None:
    config = make_run(tmp_path, Made(cube=False, training=False, model=False, segments=2))
    found = config_of_run(config.root, RUN, {})
    assert (found.root, found.run) == (config.root, RUN)
    assert found.windows == config.windows
    with pytest.raises(StoreNotFoundError, match="no run 'other' below"):
        write_report(config.root, "other", folder=tmp_path / "page")


def test_a_kept_table_of_numbers_of_clusters_is_read_back(tmp_path: Path) -> None:
    place = Location(str(tmp_path))
    assert kept_selection(place) is None
    keep_selection(place, SELECTION)
    found = kept_selection(place)
    assert found is not None
    assert math.isnan(found.rows[0].silhouette)
    assert found.rows[1:] == SELECTION.rows[1:]
    assert found.choices() == SELECTION.choices()


def test_a_series_stands_beside_clusters_or_the_page_says_why_not(tmp_path: Path) -> None:
    config = make_run(
        tmp_path, Made(cube=False, training=False, model=False, metrics=False, stations=1, segments=40)
    )
    table = tmp_path / "wind.csv"
    hours = np.datetime64("2020-01-01T00:30", "s") + np.arange(80) * np.timedelta64(1, "h")
    table.write_text("time,wind\n" + "".join(f"{t}Z,{i % 7}\n" for i, t in enumerate(hours)))
    view = RunView(config, RUN)
    shown = series_section(view, SeriesSource(str(table)))
    assert [picture.name for picture in shown.pictures] == ["environment"]
    assert [row[0] for row in shown.tables[0].rows] == list(view.looks.full_names)
    save_figure(shown.pictures[0].draw(), tmp_path / "series.svg")
    none = series_section(view, SeriesSource(str(table), "tide"))
    assert none.missing.startswith("The series is not shown: ")
    assert "wind" in none.missing
    assert not none.pictures
    assert "--series" in series_section(view, None).missing

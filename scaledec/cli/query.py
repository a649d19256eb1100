"""The verb that asks the labels: windows, counts or episodes; as a table, a file, or waveforms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from scaledec.cli.options import config_argument, load, show_table, verb

if TYPE_CHECKING:
    from pandas import DataFrame

    from scaledec.config import Config
    from scaledec.queries.selection import Filters

__all__ = ["COMMANDS", "filter_options", "filters_of"]

Function = TypeVar("Function", bound=Callable[..., Any])

_QUAKEML = (".xml", ".quakeml", ".qml")

_FILTERS = (
    click.option("--run", default=None, help="Name of the run; the configuration's by default."),
    click.option("--channel", multiple=True, help="Glob over NET.STA.LOC.CHA; may be repeated."),
    click.option("--label", multiple=True, help="Only this label or name; may be repeated."),
    click.option("--start", default=None, help="Windows that start at or after this time (UTC)."),
    click.option("--end", default=None, help="Windows that start before this time (UTC)."),
    click.option(
        "--hours", metavar="22-4", default=None, help="Windows that start in these hours of the day (UTC)."
    ),
    click.option(
        "--min-confidence", type=float, default=None, help="Only windows at least this sure (0 to 1)."
    ),
    click.option(
        "--outliers",
        "min_outlier",
        type=float,
        metavar="SCORE",
        default=None,
        help="Only windows at least this far out: 0.99 farther than 99 % of their class in training, "
        "1 farther than all.",
    ),
)


def filter_options(function: Function) -> Function:
    """Options that say which windows a question is about; they come as keywords of these names."""
    for option in reversed(_FILTERS):
        function = option(function)
    return function


def filters_of(config: Config, given: dict[str, Any]) -> Filters:
    """What the options stand for."""
    from scaledec import config as configuration

    plain = {
        name: list(value) or None if isinstance(value, tuple) else value for name, value in given.items()
    }
    run = plain.pop("run") or configuration.run_name(config)
    return cast("Filters", {**plain, "run": run, "storage_options": config.storage_options})


@verb(
    "query",
    example="scaledec query my.yaml --label icequake --hours 22-4 --min-confidence 0.9 -o hits.csv; "
    "scaledec query my.yaml --count-by label,station,hour; "
    "scaledec query my.yaml --label 3 --episodes --max-gap 60 -o episodes.xml",
)
@config_argument
@filter_options
@click.option(
    "--count-by",
    metavar="A,B",
    default=None,
    help="Count windows by label, station, channel, hour, hour_of_day, day, weekday, month, season.",
)
@click.option("--episodes", "as_episodes", is_flag=True, help="Join windows of a class that follow closely.")
@click.option("--max-gap", type=float, metavar="S", default=None, help="Of an episode, in seconds; 0: none.")
@click.option("--min-windows", type=int, metavar="N", default=1, help="Episodes of at least so many windows.")
@click.option(
    "--associate",
    type=float,
    metavar="S",
    default=None,
    help="In QuakeML: episodes of a class at any stations within S seconds are one event.",
)
@click.option(
    "--waveforms",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="Cut the recorded samples of each window or episode into DIR/CHANNEL.TIME.mseed.",
)
@click.option("--margin", type=float, metavar="S", default=0.0, help="Seconds more around each waveform.")
@click.option("--limit", type=click.IntRange(min=1), default=None, help="At most this many rows.")
@click.option(
    "-o",
    "--output",
    default=None,
    help="A .csv, .parquet, .json or .jsonl file; .geojson: stations with counts; .xml: episodes as QuakeML.",
)
def query(
    config_path: str,
    overrides: Sequence[str],
    count_by: str | None,
    as_episodes: bool,
    max_gap: float | None,
    min_windows: int,
    associate: float | None,
    waveforms: Path | None,
    margin: float,
    limit: int | None,
    output: str | None,
    **given: Any,
) -> int:
    """Ask the labels: which class, where, when, how sure.

    Rows are labelled windows, or with --count-by how many there are, or with --episodes stretches of time.
    """
    config = load(config_path, overrides)
    filters = filters_of(config, given)
    if count_by is not None and as_episodes:
        raise click.UsageError("give either --count-by or --episodes")
    if not as_episodes and (max_gap is not None or min_windows != 1 or associate is not None):
        raise click.UsageError("--max-gap, --min-windows and --associate are of --episodes")
    ending = Path(output).suffix.lower() if output else ""
    if ending == ".geojson" and count_by is not None:
        raise click.UsageError("GeoJSON has counts by station and label: leave --count-by out")
    if waveforms is not None and (count_by is not None or ending == ".geojson"):
        raise click.UsageError("--waveforms are those of windows or --episodes, not of counts")
    if ending == ".geojson":
        _geojson(config, filters, str(output), (max_gap, min_windows) if as_episodes else None)
        return 0
    if ending in _QUAKEML and not as_episodes:
        raise click.UsageError("QuakeML holds episodes: give --episodes (with --max-gap, --min-windows)")
    if output is not None and ending not in _QUAKEML:
        from scaledec.queries.tables import check_ending

        check_ending(output)  # before the work
    what = "episodes" if as_episodes else "counts" if count_by else "windows"
    table = _table(config, filters, count_by, (max_gap, min_windows) if as_episodes else None, limit)
    if ending in _QUAKEML:
        _quakeml(table, str(output), str(filters["run"]), associate)
    elif output is not None or waveforms is None:
        show_table(table, output, what)
    return 0 if waveforms is None else _waveforms(config, str(filters["run"]), table, waveforms, margin)


def _waveforms(config: Config, run: str, table: DataFrame, folder: Path, margin: float) -> int:
    from scaledec.archive.archive import open_archive
    from scaledec.archive.borrowed_index import BorrowedIndex
    from scaledec.places import Places
    from scaledec.queries.waveforms import save_waveforms
    from scaledec.store.labels import LabelStore

    places = Places.at(config.root, config.storage_options)
    stacked = LabelStore.open(places.labels(run)).components
    components = None if stacked is None else "".join(stacked["alternatives"])
    index = BorrowedIndex(places.index)
    archive = open_archive(config.archive, index.location)
    saved = save_waveforms(archive, table, folder, margin_s=margin, components=components)
    click.echo(f"{saved.sentence()}; {folder}", err=True)
    for where, reason in saved.failures:
        click.echo(f"  could not use {where}: {reason}", err=True)
    return 3 if saved.failures else 0


def _table(
    config: Config,
    filters: Filters,
    count_by: str | None,
    episodes: tuple[float | None, int] | None,
    limit: int | None,
) -> DataFrame:
    from scaledec.queries import counts, rows
    from scaledec.queries.episodes import episodes_of
    from scaledec.queries.source import StoredLabels

    source = StoredLabels.open(config.root, filters["run"], config.storage_options)
    if episodes is None and count_by is None:
        return rows.rows_of(source, filters, limit)
    if episodes is not None:
        found = episodes_of(source, filters, max_gap_s=episodes[0], min_windows=episodes[1])
    else:
        by = [name.strip() for name in str(count_by).split(",") if name.strip()]
        found = counts.counts_of(source, by, filters)
    return found if limit is None else found.head(limit)


def _geojson(
    config: Config, filters: Filters, output: str, episodes: tuple[float | None, int] | None
) -> None:
    from scaledec.queries.geojson import write_geojson
    from scaledec.store.datasets import open_labels

    if episodes is None:
        counts = _table(config, filters, "station,label", None, None)
    else:
        found = _table(config, filters, None, episodes, None)
        station = found["channel"].astype(str).str.split(".").str[:2].str.join(".")
        groups = found.assign(station=station).groupby(["station", "label"])
        counts = groups.size().rename("episodes").reset_index()
    dataset = open_labels(config.root, filters["run"], config.storage_options)
    nowhere = write_geojson(counts, dataset, output)
    n_stations = counts["station"].nunique()
    click.echo(f"wrote {n_stations} stations to {output}", err=True)
    if nowhere:
        click.echo(f"{nowhere} of them have no coordinates: archive.stationxml would tell them", err=True)


def _quakeml(table: DataFrame, output: str, run: str, associate: float | None) -> None:
    from scaledec.queries.events_of import write_episodes_quakeml

    n_events = write_episodes_quakeml(table, output, run=run, associate_s=associate)
    click.echo(f"wrote {len(table)} episodes as {n_events} events to {output}", err=True)


COMMANDS = (query,)

"""The verb that writes pages: report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from scaledec.cli.options import config_argument, load, verb

__all__ = ["COMMANDS"]


@verb("report", example="scaledec report my.yaml -o report && xdg-open report/index.html")
@config_argument
@click.option("--run", "run_name", default=None, help="Name of the run; the configuration's by default.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder to write into; report-RUN by default.",
)
@click.option(
    "--waveforms/--no-waveforms",
    default=True,
    show_default=True,
    help="Cut raw samples of the windows shown from the archive.",
)
@click.option("--series", default=None, metavar="FILE", help="A time series to show beside the clusters.")
@click.option("--series-column", default=None, help="Which column, variable or channel of it.")
def report(
    config_path: str,
    overrides: Sequence[str],
    run_name: str | None,
    output: Path | None,
    waveforms: bool,
    series: str | None,
    series_column: str | None,
) -> None:
    """Write a run as one HTML page that needs no network, and every figure as PNG and SVG."""
    from scaledec.pipeline.report import write_report

    page = write_report(
        load(config_path, overrides),
        run_name,
        folder=output,
        waveforms=waveforms,
        series=series,
        series_column=series_column,
    )
    click.echo(str(page))


COMMANDS = (report,)
"""In the order of the help."""

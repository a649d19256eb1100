"""The verb that holds labels against those of the training period."""

from __future__ import annotations

from collections.abc import Sequence

import click

from scaledec.cli.options import config_argument, load, verb

__all__ = ["COMMANDS"]


@verb("drift", example="scaledec drift my.yaml -o drift.csv")
@config_argument
@click.option("-o", "--output", default=None, help="A .csv, .parquet, .json or .jsonl file, one row a month.")
def drift(config_path: str, overrides: Sequence[str], output: str | None) -> None:
    """Hold each month's labels against those of the training period; say where they differ, and how.

    Compared are class shares (Jensen-Shannon distance), confidences and outlier scores (largest difference
    of cumulative shares). A month is flagged where one differs by more than 0.1 and more than any month of
    the training period does, or where many windows lie outside the training windows. Reads only what was
    labelled since the last time; the report is kept below the run.
    """
    from scaledec.pipeline.drift import drift as find

    report = find(load(config_path, overrides))
    if output is None:
        click.echo(report.table())
        return
    from scaledec.queries.tables import write_table

    write_table(report.frame(), output)
    click.echo(f"wrote {len(report.blocks)} months to {output}", err=True)


COMMANDS = (drift,)

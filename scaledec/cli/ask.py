"""Verbs that only read: status, query, verify."""

from __future__ import annotations

from collections.abc import Sequence

import click

from scaledec.cli.options import config_argument, load, verb

__all__ = ["COMMANDS"]


@verb("status", example="scaledec status my.yaml --failures")
@config_argument
@click.option("--failures", is_flag=True, help="List every input that could not be used, and why.")
def status(config_path: str, overrides: Sequence[str], failures: bool) -> int:
    """Say what is done, what failed and what is left, stage by stage; works while a run is going on."""
    from scaledec.pipeline.status import status as read_status

    found = read_status(load(config_path, overrides))
    click.echo(found.table())
    if failures:
        for failure in found.failures:
            click.echo(f"{failure.key}\t{failure.reason}")
    return 0


@verb(
    "query",
    example="scaledec query my.yaml --channel 'CM.*.*.HHZ' --label 3 --min-confidence 0.9 -o hits.csv",
)
@config_argument
@click.option("--run", "run_name", default=None, help="Name of the run; the configuration's by default.")
@click.option("--channel", default=None, help="Glob over NET.STA.LOC.CHA.")
@click.option("--label", "labels", multiple=True, type=int, help="Only this label; may be repeated.")
@click.option("--start", default=None, help="Windows that start at or after this time (UTC).")
@click.option("--end", default=None, help="Windows that start before this time (UTC).")
@click.option("--min-confidence", type=float, default=None, help="Only windows at least this sure (0 to 1).")
@click.option("--limit", type=int, default=None, help="At most this many windows.")
@click.option("-o", "--output", default=None, help="A .csv or .parquet file instead of the terminal.")
def query(
    config_path: str,
    overrides: Sequence[str],
    run_name: str | None,
    channel: str | None,
    labels: Sequence[int],
    start: str | None,
    end: str | None,
    min_confidence: float | None,
    limit: int | None,
    output: str | None,
) -> None:
    """List labelled windows: which label, where, when, how sure."""
    from scaledec import config as configuration
    from scaledec.queries import query as find
    from scaledec.queries import write_table

    config = load(config_path, overrides)
    found = find(
        config.root,
        run=run_name or configuration.run_name(config),
        channel=channel,
        label=list(labels) or None,
        start=start,
        end=end,
        min_confidence=min_confidence,
        limit=limit,
        storage_options=config.storage_options,
    )
    if output is not None:
        write_table(found, output)
        click.echo(f"wrote {len(found)} windows to {output}", err=True)
    else:
        click.echo(found.to_string(index=False, max_rows=40) if len(found) else "no window fits", nl=True)


@verb("verify", example="scaledec verify my.yaml")
@config_argument
def verify(config_path: str, overrides: Sequence[str]) -> int:
    """Check every finished task of the ledger against the bytes in the stores."""
    from scaledec.pipeline.check import verify as check

    report = check(load(config_path, overrides))
    click.echo(report.table())
    return 0 if report.sound else 3


COMMANDS = (status, query, verify)

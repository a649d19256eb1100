"""Verbs that only read the root: status, name, verify, select-k."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from scaledec.cli.options import config_argument, load, show_table, verb

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
            click.echo(f"{failure.where}\t{failure.reason}")
    return 0


@verb("name", example='scaledec name my.yaml 3 "icequake, ice front" --note "calving season only"')
@config_argument
@click.argument("cluster", type=int, required=False)
@click.argument("name", required=False)
@click.option("--note", default="", help="Anything worth keeping beside the name.")
def name_cluster(
    config_path: str, overrides: Sequence[str], cluster: int | None, name: str | None, note: str
) -> None:
    """Name a cluster of the run, or list the names; an empty name takes it away."""
    from scaledec.pipeline import names

    config = load(config_path, overrides)
    if cluster is not None and name is not None:
        names.name_cluster(config, cluster, name, note=note)
        return
    for number, entry in sorted(names.cluster_names(config).items()):
        if cluster in (None, number):
            click.echo(f"{number}\t{entry.name}\t{entry.note}".rstrip())


@verb("detections", example="scaledec detections my.yaml --channel 'XH.*.*.HHZ' -o found.csv")
@config_argument
@click.option("--channel", default=None, help="Glob over NET.STA.LOC.CHA.")
@click.option("--start", default=None, help="Events whose windows begin at or after this time (UTC).")
@click.option("--end", default=None, help="Events whose windows begin before this time (UTC).")
@click.option("--limit", type=int, default=None, help="At most this many events.")
@click.option("-o", "--output", default=None, help="A .csv, .parquet or .jsonl file instead of the terminal.")
def detections(
    config_path: str,
    overrides: Sequence[str],
    channel: str | None,
    start: str | None,
    end: str | None,
    limit: int | None,
    output: str | None,
) -> None:
    """List the events that windows were cut at: when, how strong, how long."""
    from scaledec.queries.detections import detections as find

    config = load(config_path, overrides)
    found = find(
        config.root,
        channel=channel,
        start=start,
        end=end,
        limit=limit,
        storage_options=config.storage_options,
    )
    show_table(found, output, "events")


@verb("verify", example="scaledec verify my.yaml --recompute 100")
@config_argument
@click.option(
    "--recompute",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Compute N segments, chosen at random, again from the archive.",
)
@click.option("--seed", default=0, show_default=True, help="Of that choice.")
def verify(config_path: str, overrides: Sequence[str], recompute: int, seed: int) -> int:
    """Check every finished task of the ledger against the bytes in the stores."""
    from scaledec.pipeline.check import verify as check

    report = check(load(config_path, overrides), recompute=recompute, seed=seed)
    click.echo(report.table())
    return 0 if report.sound else 3


@verb("select-k", example="scaledec select-k my.yaml --k 2:20")
@config_argument
@click.option(
    "--k", "range_of_k", default="1:20", show_default=True, help="First and last K, or one by one: 4,8."
)
@click.option("--draws", default=10, show_default=True, help="References of each kind for the gap.")
@click.option("--seeds", default=5, show_default=True, help="Seeds and bootstraps for stability.")
@click.option("--workers", type=int, default=None, help="Processes; one a core by default.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("select-k"),
    show_default=True,
    help="Path of the table and the figure, without .csv and .png.",
)
def select_k(
    config_path: str,
    overrides: Sequence[str],
    range_of_k: str,
    draws: int,
    seeds: int,
    workers: int | None,
    output: Path,
) -> None:
    """Hold numbers of clusters against each other on the embeddings of a pretrained run.

    Inertia, silhouette, gap statistic, BIC and stability for every K, as a table, a CSV file and a
    figure; `scaledec report` shows the figure too.
    """
    from scaledec.pipeline.select_k import keep_table, training_embeddings
    from scaledec.pipeline.select_k import select_k as hold_against_each_other
    from scaledec.report.selection import draw_selection, selection_table, write_selection_csv

    ks, config = _parse_range(range_of_k), load(config_path, overrides)
    z = training_embeddings(config)
    found = hold_against_each_other(z, ks, draws=draws, seeds=seeds, workers=workers)
    keep_table(config, found)
    click.echo(selection_table(found))
    table = write_selection_csv(found, output.with_name(output.name + ".csv"))
    figure = draw_selection(output.with_name(output.name + ".png"), found)
    click.echo(f"wrote {table} and {figure}", err=True)


def _parse_range(text: str) -> list[int]:
    """``2:20`` (both ends included) or ``4,8,16``."""
    first, colon, last = text.partition(":")
    try:
        found = list(range(int(first), int(last) + 1)) if colon else [int(k) for k in text.split(",")]
    except ValueError:
        found = []
    if not found:
        raise click.BadParameter(f"{text!r}; expected e.g. 2:20 or 4,8,16", param_hint="--k")
    return found


COMMANDS = (status, name_cluster, detections, verify, select_k)

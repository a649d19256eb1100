"""The verb compare: two runs against each other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaledec.cli.options import config_argument, load, verb

if TYPE_CHECKING:
    from scaledec.queries.compare import RunComparison

__all__ = ["COMMANDS"]


@verb("compare", example="scaledec compare my.yaml kmeans-8 idec-8 -o pairs.csv")
@config_argument
@click.argument("run_a")
@click.argument("run_b", required=False)
@click.option("--channel", default=None, help="Glob over NET.STA.LOC.CHA.")
@click.option("--start", default=None, help="Segments that begin at or after this time (UTC).")
@click.option("--end", default=None, help="Segments that begin before this time (UTC).")
@click.option(
    "-o", "--output", default=None, help=".csv, .parquet or .jsonl: pairs of clusters; .json: all numbers."
)
def compare(
    config_path: str,
    overrides: Sequence[str],
    run_a: str,
    run_b: str | None,
    channel: str | None,
    start: str | None,
    end: str | None,
    output: str | None,
) -> None:
    """Hold the labels of RUN_A against those of RUN_B (the configuration's run by default).

    Which clusters of one are which of the other, windows of each pair, adjusted Rand index, normalised
    mutual information, and the share of windows that changed their cluster.
    """
    from scaledec import config as configuration
    from scaledec.queries.compare import compare as count

    config = load(config_path, overrides)
    found = count(
        config.root,
        run_a,
        run_b or configuration.run_name(config),
        channel=channel,
        start=start,
        end=end,
        storage_options=config.storage_options,
    )
    if output is None:
        click.echo(_shown(found))
        return
    _write(found, output)
    click.echo(f"wrote {output}", err=True)


def _shown(found: RunComparison) -> str:
    import pandas as pd

    one, other = found.runs
    rows = [f"{k} {name}" for k, name in enumerate(found.names[0])]
    columns = [f"{k} {name}" for k, name in enumerate(found.names[1])]
    table = pd.DataFrame(found.table, rows, range(len(columns)))
    alone = f"{found.labelled_once[0]} of {one} alone, {found.labelled_once[1]} of {other} alone"
    index, shared = found.adjusted_rand_index, found.normalised_mutual_information
    return "\n".join(
        [
            f"{found.n_windows} windows with a label of both; {alone}",
            f"changed {found.changed:.4f}   ARI {index:.4f}   NMI {shared:.4f}",
            f"windows by cluster of {one} (down) and of {other} (across):",
            table.to_string(),
            "matched:",
            *(f"  {rows[a]} = {columns[b]} ({found.table[a, b]} windows)" for a, b in found.matches),
        ]
    )


def _write(found: RunComparison, output: str) -> None:
    from scaledec.queries.tables import write_table
    from scaledec.store.open import store_errors

    if Path(output).suffix.lower() != ".json":
        write_table(found.rows(), output)
        return
    document = {**found.summary(), "pairs": found.rows().to_dict(orient="records")}
    with store_errors(output, "write"):
        Path(output).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")


COMMANDS = (compare,)

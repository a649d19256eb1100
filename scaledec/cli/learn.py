"""The verb `tune`: a search for training settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from scaledec.cli.options import config_argument, load, print_outcomes, verb

__all__ = ["COMMANDS"]


@verb("tune", example="scaledec tune my.yaml --set tune.trials=32 -o tuned && scaledec run tuned.yaml")
@config_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("tuned"),
    show_default=True,
    help="Path of the table and the best configuration, without .csv and .yaml.",
)
def tune(config_path: str, overrides: Sequence[str], output: Path) -> int:
    """Search batch, learning rate, embedding size and gamma, and write the best configuration.

    The section `tune` of CONFIG says among which values. Needs the cube; trains on a sample of it, all
    trials on the same. Killed or stopped, the same command goes on; with more tune.trials it adds to
    those that are done.
    """
    from scaledec.config.load import override_file
    from scaledec.pipeline.tune import tune as search

    found = search(load(config_path, overrides))
    print_outcomes([found.outcome])
    click.echo(found.to_frame().drop(columns="reason").to_string(float_format=lambda value: f"{value:.4g}"))
    table, best = (output.with_name(output.name + ending) for ending in (".csv", ".yaml"))
    output.parent.mkdir(parents=True, exist_ok=True)
    found.to_frame().to_csv(table)
    best.write_text(override_file(config_path, overrides, found.values), encoding="utf-8")
    told = ", ".join(f"{name} {value:g}" for name, value in found.values.items())
    click.echo(f"best: {told}\nwrote {table} and {best}; next: scaledec run {best}", err=True)
    return found.outcome.exit_code


COMMANDS = (tune,)

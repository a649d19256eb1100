"""The verb `explore`: a page on the live stores."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaledec.cli.options import load, verb

if TYPE_CHECKING:
    from scaledec.explore.opened import Opened

__all__ = ["COMMANDS"]


@verb("explore", example="scaledec explore my.yaml")
@click.argument("root", metavar="ROOT|CONFIG")
@click.option(
    "--run", "run_name", default=None, help="Run to begin with; the configuration's or the newest by default."
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; any that is free by default.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def explore(root: str, run_name: str | None, port: int, no_browser: bool) -> None:
    """Open a local page on a root: which class, where and when, down to spectrogram and samples.

    ROOT is the folder or URL that scaledec wrote to; samples are then read where the run's own
    configuration says. With a configuration instead, its root and its archive are used, with their
    storage_options. The page is for this machine alone, and for who knows its address. Ctrl-C ends it.
    """
    from scaledec.explore.server import ExploreServer, leading_to

    server = ExploreServer(partial(_open, root, run_name), port)
    click.echo(server.url)
    click.echo("the page is open until Ctrl-C; nothing is written", err=True)
    if no_browser:
        server.run()
        return
    with leading_to(server.url) as address:
        server.run(when_ready=lambda: _show(address))


def _show(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        click.echo("no browser could be started: open the address above in one", err=True)


def _open(root: str, run_name: str | None) -> Opened:
    from scaledec.explore.opened import open_root

    if Path(root).suffix not in (".yaml", ".yml"):
        return open_root(root, run=run_name)
    config = load(root, ())
    return open_root(config.root, config.storage_options, config=config, run=run_name)


COMMANDS = (explore,)

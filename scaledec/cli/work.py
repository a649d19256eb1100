"""Verbs that write: init, plan, run, the stages, submit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scaledec.cli.options import config_argument, exit_code_of, load, print_outcomes, verb

if TYPE_CHECKING:
    from scaledec.config import Config
    from scaledec.pipeline.outcome import Outcome

__all__ = ["COMMANDS"]


@verb("init", example="scaledec init my.yaml --archive /data/sds --root /data/scaledec")
@click.argument("config_path", metavar="CONFIG", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--archive", default="path/to/archive", help="Where the miniSEED lies (archive.url).")
@click.option("--root", default="scaledec-output", help="Where scaledec writes (root).")
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def init(config_path: Path, archive: str, root: str, force: bool) -> None:
    """Write a configuration with every key, its default and its meaning."""
    from scaledec.config.template import config_template

    if config_path.exists() and not force:
        raise click.ClickException(f"{config_path} exists; --force replaces it")
    config_path.write_text(config_template(root=root, archive_url=archive), encoding="utf-8")
    click.echo(f"wrote {config_path}; next: scaledec plan {config_path}", err=True)


@verb("plan", example="scaledec plan my.yaml --set archive.end=2020-02-01")
@config_argument
def plan(config_path: str, overrides: Sequence[str]) -> None:
    """Say what a run would do: tasks, bytes, memory, what is already done. Writes nothing."""
    from scaledec.pipeline.plan import plan as make_plan

    click.echo(make_plan(load(config_path, overrides)))


def _stage_verb(name: str, summary: str) -> click.Command:
    """A verb that runs one stage (or all) of the pipeline."""

    @verb(name, example=f"scaledec {name} my.yaml")
    @config_argument
    def command(config_path: str, overrides: Sequence[str]) -> int:
        config = load(config_path, overrides)
        outcomes = _function(name)(config)
        print_outcomes(outcomes)
        return exit_code_of(outcomes)

    command.help = summary
    return command


def _function(name: str) -> Callable[[Config], Sequence[Outcome]]:
    from scaledec.pipeline import run

    functions: dict[str, Callable[[Config], Sequence[Outcome]]] = {
        "run": run.run,
        "cube": lambda config: [run.build_cube(config)],
        "pretrain": lambda config: run.pretrain(config),
        "cluster": lambda config: [run.cluster(config)],
        "label": lambda config: [run.label(config)],
    }
    return functions[name]


run = _stage_verb("run", "Run every stage: cube, pretrain, cluster, label. What is done is not done again.")
cube = _stage_verb("cube", "Compute spectrograms of the archive into ROOT/cube.zarr.")
pretrain = _stage_verb("pretrain", "Sample the training set from the cube and train the autoencoder on it.")
cluster = _stage_verb("cluster", "Cluster the embeddings (k-means, GMM, DEC or IDEC).")
label = _stage_verb("label", "Label every window of the cube into ROOT/labels/RUN.zarr.")


@verb("submit", example="scaledec submit my.yaml --address http://127.0.0.1:8265")
@config_argument
@click.option("--address", required=True, help="The Ray cluster's dashboard, e.g. http://127.0.0.1:8265.")
@click.option("--no-wait", is_flag=True, help="Return as soon as the job is accepted.")
def submit(config_path: str, overrides: Sequence[str], address: str, no_wait: bool) -> int:
    """Run the same `scaledec run` as a job on a Ray cluster, follow its logs, return its exit code.

    The cluster's nodes read the archive and write root themselves: both must be URLs or paths that
    every node sees. Ray's token is taken from RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token.
    """
    from scaledec.config import dump_config, with_absolute_paths
    from scaledec.engines.jobs import submit as submit_job

    config = with_absolute_paths(load(config_path, overrides))
    return submit_job(dump_config(config), address=address, wait=not no_wait)


COMMANDS = (init, plan, run, cube, pretrain, cluster, label, submit)

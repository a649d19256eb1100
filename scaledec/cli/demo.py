"""The verb `demo`: a synthetic archive with known truth, and the main job on it."""

from __future__ import annotations

from pathlib import Path

import click

from scaledec.cli.options import print_outcomes, verb

__all__ = ["COMMANDS"]


@verb("demo", example="scaledec demo demo")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"))
@click.option("--seed", type=int, default=0, show_default=True, help="Of the archive's noise and events.")
@click.option("--archive-only", is_flag=True, help="Write the archive and its truth, then stop.")
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, exists=True),
    default=None,
    help="Configuration to run instead of the packaged one (its root and archive.url are replaced).",
)
def demo(folder: Path, seed: int, archive_only: bool, config_path: str | None) -> int:
    """Write a synthetic archive with known truth into FOLDER and run the whole job on it.

    Ends with a table of how well the labels recover the planted families, two pictures and the
    commands to go on.
    """
    from scaledec.pipeline.demo import demo_exit_code, draw_demo, run_demo, score_demo, write_demo_archive

    archive = write_demo_archive(folder, seed=seed)
    if archive_only:
        click.echo(f"{archive.sds}\ttruth in {archive.location.child('truth.csv')}")
        return 0
    outcomes, config = run_demo(folder, config_path=config_path)
    print_outcomes(outcomes)
    click.echo(score_demo(config, archive))
    pictures = draw_demo(folder, config)
    click.echo("\nPictures: " + ", ".join(map(str, pictures)))
    click.echo(_NEXT.format(config=folder / "demo.yaml", report=folder / "report"))
    return demo_exit_code(outcomes, archive)


_NEXT = """
Go on with:
  scaledec report {config} -o {report}     # one page with every figure
  scaledec query {config} --label 1 --min-confidence 0.8 --limit 10
  scaledec sql {config} "select label, count(*) windows from labels group by 1 order by 1"
  scaledec status {config} --failures
  scaledec verify {config}
  scaledec run {config} --set cluster.n_clusters=10     # another run beside this one"""


COMMANDS = (demo,)

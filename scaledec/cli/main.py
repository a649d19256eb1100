"""The entry point: the group of verbs, and errors turned into one sentence and an exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from types import FrameType

import click

import scaledec
from scaledec.cli import (
    ask,
    compare,
    demo,
    drift,
    explore,
    join,
    learn,
    query,
    report,
    similar,
    sql,
    stats,
    work,
)
from scaledec.errors import ScaledecError

__all__ = ["main"]

_EXIT_REFUSED = 1
_EXIT_INTERRUPTED = 130
_EXIT_TERMINATED = 143


class _VerbsInOrder(click.Group):
    """Lists the verbs in the order a user meets them, not by the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=_VerbsInOrder,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: scaledec init my.yaml && scaledec run my.yaml && scaledec query my.yaml --label 3",
)
@click.version_option(scaledec.__version__)
def _verbs() -> None:
    """Deep embedded clustering of seismic archives: miniSEED to spectrograms to labels in Zarr.

    Exit codes: 0 all done; 3 finished, but some input could not be used (listed); 1 could not run;
    2 the command line is wrong; 130 interrupted (the same command goes on where it stopped).
    """


for _command in (
    *demo.COMMANDS,
    *work.COMMANDS,
    *learn.COMMANDS,
    *ask.COMMANDS,
    *explore.COMMANDS,
    *query.COMMANDS,
    *stats.COMMANDS,
    *similar.COMMANDS,
    *drift.COMMANDS,
    *report.COMMANDS,
    *sql.COMMANDS,
    *compare.COMMANDS,
    *join.COMMANDS,
):
    _verbs.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and exit with its code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: list[str] | None) -> int:
    try:
        code = _verbs.main(args=arguments, prog_name="scaledec", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        # click turns KeyboardInterrupt into an exception of its own.
        is_terminated = isinstance(error.__cause__ or error, _TerminatedError)
        word = "terminated" if is_terminated else "interrupted"
        click.echo(f"scaledec: {word}; what is done is kept, the same command goes on from there", err=True)
        return _EXIT_TERMINATED if is_terminated else _EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ScaledecError as error:
        click.echo(f"scaledec: {error}", err=True)
        if os.environ.get("SCALEDEC_TRACEBACK"):
            traceback.print_exc()
        return _EXIT_REFUSED
    return code if isinstance(code, int) else 0


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM (a preempted node, ``kill``) leaves through the same doors as Ctrl-C: workers are stopped."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _TerminatedError

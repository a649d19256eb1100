"""The command line: thin verbs over :mod:`scaledec.api`."""

from scaledec.cli.main import main

__all__ = ["main"]

"""Tables to files, as the ending says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scaledec.errors import ConfigError
from scaledec.store.open import store_errors

__all__ = ["write_table"]


def write_table(table: pd.DataFrame, path: str) -> None:
    """Write a table as its ending says: .csv, .parquet, .json (records) or .jsonl (one record a line).

    Raises
    ------
    ConfigError
        If the ending is another one.
    StoreError
        If it cannot be written.
    """
    as_json: dict[str, Any] = {"orient": "records", "date_format": "iso", "date_unit": "us"}
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda to: table.to_csv(to, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ"),
        ".parquet": lambda to: table.to_parquet(to, index=False),
        ".json": lambda to: _in_utc(table).to_json(to, **as_json),
        ".jsonl": lambda to: _in_utc(table).to_json(to, lines=True, **as_json),
    }
    target = Path(path)
    writer = writers.get(target.suffix.lower())
    if writer is None:
        raise ConfigError(f"cannot tell how to write {path!r}; expected an ending of {', '.join(writers)}")
    partial = target.with_name(f".{target.name}.partial")
    with store_errors(target, "write"):
        try:
            writer(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _in_utc(table: pd.DataFrame) -> pd.DataFrame:
    """The same instants with their time zone, which text must name."""
    instants = table.select_dtypes("datetime")
    return table.assign(**{name: instants[name].dt.tz_localize("UTC") for name in instants.columns})

"""Tables to files, as the ending says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from scaledec.errors import ConfigError
from scaledec.store.open import store_errors

__all__ = ["check_ending", "write_table", "write_whole"]

_ENDINGS = (".csv", ".parquet", ".json", ".jsonl")


def write_table(table: pd.DataFrame, path: str) -> None:
    """Write a table as its ending says: .csv, .parquet, .json (records) or .jsonl (one record a line).

    Raises
    ------
    ConfigError
        If the ending is another one.
    StoreError
        If it cannot be written.
    """
    as_json: dict[str, Any] = {
        "orient": "records",
        "date_format": "iso",
        "date_unit": "us",
        "double_precision": 15,
    }
    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda to: table.to_csv(to, index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ"),
        ".parquet": lambda to: table.to_parquet(to, index=False),
        ".json": lambda to: _as_text(table).to_json(to, **as_json),
        ".jsonl": lambda to: _as_text(table).to_json(to, lines=True, **as_json),
    }
    write_whole(path, writers[check_ending(path)])


def check_ending(path: str) -> str:
    """The ending that says how a table is written; ``ConfigError`` if it is another one."""
    ending = Path(path).suffix.lower()
    if ending not in _ENDINGS:
        raise ConfigError(f"cannot tell how to write {path!r}; expected an ending of {', '.join(_ENDINGS)}")
    return ending


def write_whole(path: str, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a file beside its place and put it there; what was there stays if that fails.

    Raises
    ------
    StoreError
        If it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.partial")
    with store_errors(target, "write"):
        try:
            write(partial)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """What JSON can hold: instants with their time zone, and 0.9 where float32 has 0.8999999762."""
    instants = table.select_dtypes("datetime")
    zoned = {name: instants[name].dt.tz_localize("UTC") for name in instants.columns}
    single = table.select_dtypes("float32")
    return table.assign(**zoned, **{name: single[name].astype(str).astype(float) for name in single.columns})

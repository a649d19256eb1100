"""Questions in SQL: DuckDB over the Parquet catalog of a root's labels. Nothing below the root is written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from scaledec.errors import ConfigError, StoreError, StoreNotFoundError
from scaledec.places import Places
from scaledec.queries.sql_views import create_views
from scaledec.queries.tables import write_table
from scaledec.stages.catalog import is_current
from scaledec.store.datasets import newest_run, run_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SqlSession", "sql"]

_MEMORY = "2GB"


def sql(
    root: str,
    text: str,
    *,
    run: str | None = None,
    memory: str = _MEMORY,
    storage_options: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """The answer to one SQL query over the labels, as a table.

    Parameters
    ----------
    root, storage_options
        As in the configuration.
    text
        One query of DuckDB's SQL over the views of :class:`SqlSession`.
    run
        The run that ``labels`` and ``clusters`` speak of; ``None``: the newest.
    memory
        What DuckDB may hold; beyond it works on disk.

    Raises
    ------
    StoreNotFoundError
        If there is no catalog, or none of that run.
    ConfigError
        If the query is none, or would change something.

    Examples
    --------
    >>> sql("demo", "select label, count(*) n from labels group by 1 order by 1")  # doctest: +SKIP
    """
    with SqlSession(root, run=run, memory=memory, storage_options=storage_options) as session:
        return session.table(text)


class SqlSession:
    """The catalogs of a root as views of an in-memory DuckDB database; a context manager.

    ``labels``: one row a labelled window: network, station, location, channel (NET.STA.LOC.CHA), start, end
    (UTC), label, name, confidence, distance, outlier (where it is stored), year, month.
    ``clusters``: label, name, note. ``stations`` and ``channels``: where they stand. Every run that has a
    catalog is a schema of its own: ``select ... from "RUN".labels``.
    """

    def __init__(
        self,
        root: str,
        *,
        run: str | None = None,
        memory: str = _MEMORY,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        import duckdb

        places = Places.at(root, storage_options)
        self._runs = _runs_with_catalog(places, root, storage_options)
        self.run = run or newest_run(root, storage_options)
        if self.run not in self._runs:
            raise StoreNotFoundError(_no_catalog(places, self.run, self._runs))
        self.is_current = is_current(places, self.run)
        """Whether no label of the run was written since its catalog was made."""
        with ExitStack() as stack, _sentences():
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="scaledec-sql-"))
            settings = {"memory_limit": memory, "temp_directory": folder}
            self._connection = stack.enter_context(duckdb.connect(config=settings))
            create_views(self._connection, places, self._runs, self.run)
            self._stack = stack.pop_all()

    def __enter__(self) -> SqlSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database and its temporary files."""
        self._stack.close()

    def table(self, text: str, *, at_most: int | None = None) -> pd.DataFrame:
        """The rows of a query, or the first of them."""
        with _sentences():
            statement = self._checked(text)
            answer = self._connection.execute(statement)
            found: pd.DataFrame = answer.df() if at_most is None else _first_rows(answer, at_most)
            return found

    def write(self, text: str, path: str) -> int:
        """Write the rows of a query to a .csv, .parquet, .json or .jsonl file; return how many.

        They go from the catalog to the file without being in memory together.

        Raises
        ------
        ConfigError
            If the query is none, or the ending of the path another one.
        StoreError
            If the file cannot be written.
        """
        target = Path(path)
        form = _FORMS.get(target.suffix.lower())
        with _sentences():
            statement = self._checked(text)
            if form is None or not _can_be_copied(statement):
                table = self._connection.execute(statement).df()
                write_table(table, path)
                return len(table)
        partial = target.with_name(f".{target.name}.partial")
        if not target.parent.is_dir():
            raise StoreError(f"cannot write {path}: there is no folder {target.parent}")
        try:
            with _sentences():
                quoted = str(partial).replace("'", "''")
                # On a line of its own: the query may end in a comment.
                copied = self._connection.execute(f"copy (\n{statement.query}\n) to '{quoted}' ({form})")
                (n_rows,) = copied.fetchone()
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return int(n_rows)

    def _checked(self, text: str) -> Any:
        """The one statement of a text, which may only read."""
        import duckdb

        statements = self._connection.extract_statements(text)
        if len(statements) != 1:
            raise ConfigError(f"expected one query; found {len(statements)} in {text!r}")
        kinds = duckdb.StatementType
        # MULTI is a pivot, which looks for its columns first.
        if statements[0].type not in (kinds.SELECT, kinds.EXPLAIN, kinds.MULTI):
            raise ConfigError(
                "the catalog is only read: expected a query (select, with, from, pivot, describe, "
                f"summarize, explain), found {statements[0].type.name.lower()}"
            )
        return statements[0]


_INSTANT = "timestampformat '%Y-%m-%dT%H:%M:%S.%fZ'"
_FORMS = {
    ".csv": f"format csv, header, {_INSTANT}",
    ".parquet": "format parquet, compression zstd",
    ".json": f"format json, array true, {_INSTANT}",
    ".jsonl": f"format json, {_INSTANT}",
}


def _first_rows(answer: Any, at_most: int) -> pd.DataFrame:
    """The first rows of an answer; the rest is not fetched."""
    import pandas as pd

    found: list[pd.DataFrame] = [answer.fetch_df_chunk()]
    n = len(found[0])
    while n < at_most and len(chunk := answer.fetch_df_chunk()):
        found.append(chunk)
        n += len(chunk)
    return pd.concat(found, ignore_index=True).head(at_most)


def _can_be_copied(statement: Any) -> bool:
    import duckdb

    words = statement.query.split(None, 1)
    shows = ("describe", "desc", "show", "summarize")
    return statement.type == duckdb.StatementType.SELECT and words[0].lower() not in shows


def _runs_with_catalog(places: Places, root: str, options: Mapping[str, Any] | None) -> list[str]:
    return [name for name in run_names(root, options) if places.catalog(name).list_names()]


def _no_catalog(places: Places, run: str, runs: list[str]) -> str:
    known = f"; runs that have one: {', '.join(runs)}" if runs else ""
    return (
        f"no catalog of run {run!r} at {places.catalog(run)}: `scaledec label CONFIG` makes it at its end, "
        f"also of labels that are there already{known}"
    )


@contextmanager
def _sentences() -> Iterator[None]:
    """What DuckDB raises as one sentence."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        # Then comes the line, and below it a mark.
        reason, _, place = str(error).partition("\n\nLINE ")
        told = " ".join(reason.split()) + (f" (in line {place.splitlines()[0]})" if place else "")
        if isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException):
            raise StoreError(told) from error
        raise ConfigError(told) from error

"""The import direction of docs/architecture.md, enforced on every import statement of the package."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "scaledec"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("vocabulary", "transport"),
    ("location", "grid", "progress", "interrupts"),
    ("places", "zarr_access"),
    ("config",),
    ("numerics",),
    ("archive", "store", "ledger"),
    ("synthetic", "training"),
    ("stages",),
    ("engines",),
    ("queries", "estimator"),
    ("report",),
    ("pipeline", "explore"),
    ("api",),
    ("cli",),
)
"""From the lowest to the highest. A part imports from lower layers and from itself, nothing else."""

RANK = {part: rank for rank, parts in enumerate(LAYERS) for part in parts}

HEAVY = {
    "torch": {
        "numerics.signal.stft",
        "numerics.nets",
        "numerics.dec",
        "numerics.augment",
        "numerics.normalise",
        "training",
        "stages.pretrain",
        "stages.cluster",
        "stages.label",
        "stages.tune",
        "stages.cube",
        "engines.ray_train",
        "engines.local_train",
    },
    "dask": {"engines.dask_local", "engines.dask_on_ray", "engines.dask_futures", "engines.dask_engine"},
    "distributed": {
        "engines.dask_local",
        "engines.dask_on_ray",
        "engines.dask_futures",
        "engines.dask_engine",
    },
    "ray": {
        "engines.ray_session",
        "engines.ray_train",
        "engines.ray_data",
        "engines.ray_tune",
        "engines.dask_on_ray",
        "engines.jobs",
    },
    "joblib": {"engines.processes"},
    "zarr": {"zarr_access", "store", "archive.foreign", "queries", "report"},
    "xarray": {"store", "archive.foreign", "queries", "report", "explore"},
    "duckdb": {"queries"},
    "panel": {"explore"},
    "bokeh": {"explore"},
    "pymseed": {"archive"},
    "obspy": {"archive"},
}
"""Which modules (or packages) may import a heavy library, at the top or inside a function."""

Import = tuple[str, str, int]


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path) -> Iterator[Import]:
    """(importing module, imported module, line), imports inside functions included."""
    here = module_name(path)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield here, alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import; write the full name"
            assert node.module is not None
            if node.module == "scaledec":
                for alias in node.names:
                    yield here, f"scaledec.{alias.name}", node.lineno
            else:
                yield here, node.module, node.lineno


ALL_IMPORTS = [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]


def test_every_part_has_a_layer() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.parent.name for path in PACKAGE.glob("*/*.py")
    }
    assert parts - {"__init__"} <= RANK.keys() | {PACKAGE.name}


def test_nothing_imports_against_the_direction() -> None:
    breaches = []
    for here, target, line in ALL_IMPORTS:
        if not target.startswith("scaledec.") or not here:
            continue
        source, part = here.split(".")[0], target.split(".")[1]
        if part == "__version__" or source == part:
            continue
        if RANK[part] >= RANK[source]:
            breaches.append(f"scaledec.{here}:{line} imports {target}")
    assert not breaches, "imports against the direction of docs/architecture.md:\n" + "\n".join(breaches)


def test_numerics_read_no_configuration() -> None:
    allowed = {"numerics", "errors", "vocabulary", "grid"}
    breaches = [
        f"{here}:{line} imports {target}"
        for here, target, line in ALL_IMPORTS
        if here.startswith("numerics")
        and target.startswith("scaledec.")
        and target.split(".")[1] not in allowed
    ]
    assert not breaches, breaches


@pytest.mark.parametrize("library", sorted(HEAVY))
def test_a_heavy_library_is_imported_only_where_it_belongs(library: str) -> None:
    allowed = HEAVY[library]
    breaches = [
        f"scaledec.{here}:{line} imports {target}"
        for here, target, line in ALL_IMPORTS
        if target.split(".")[0] == library
        and not any(here == place or here.startswith((f"{place}.", f"{place}_")) for place in allowed)
    ]
    assert not breaches, breaches


def imported_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()}


@pytest.mark.parametrize("statement", ["import scaledec", "import scaledec.cli"])
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    heavy = {
        "torch",
        "ray",
        "dask",
        "distributed",
        "obspy",
        "xarray",
        "zarr",
        "pandas",
        "sklearn",
        "matplotlib",
    }
    assert not imported_by(statement) & heavy


def test_the_command_line_starts_fast() -> None:
    def seconds(code: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    # Of the processor, and the best of several: what the import costs, whatever else the machine does.
    assert min(seconds("import scaledec.cli") for _ in range(5)) < 0.3

"""The notebooks run from top to bottom, and are stored without outputs."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import scaledec as sd
from scaledec.config import run_name

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
# The quickstart first: what it leaves in the folder the others find there.
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"), key=lambda path: (path.stem != "quickstart", path.stem))

pytestmark = [
    # What the kernel's own machinery says about event loops is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:jupyter_client"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:zmq"),
]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path: Path) -> None:
    cells = nbformat.read(path, as_version=4).cells
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in cells)


@pytest.mark.parametrize("name", ["query", "choose_k"])
def test_a_notebook_goes_on_with_the_run_of_the_quickstart(name: str) -> None:
    cells = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells
    (text,) = [
        found[1]
        for cell in cells
        if (found := re.search(r'sd\.parse_config\("""(.*?)"""\)', cell["source"], re.DOTALL))
    ]
    own = sd.parse_config(text)
    demo = sd.load_config(FOLDER.parent / "configs" / "demo.yaml")
    assert run_name(own) == run_name(demo)
    assert (own.root, own.archive) == (demo.root, demo.archive)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all notebooks run, as they would for a reader: one finds what another one made."""
    return tmp_path_factory.mktemp("notebooks")


@pytest.mark.notebooks
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path: Path, folder: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=800, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    said = "".join(output.get("text", "") for output in outputs)
    assert pictures or (path.stem == "cloud" and "no network" in said), f"{path.name} draws nothing"

"""How well clusters of the CM network's aftershock hours tell windows with a picked arrival from others.

    python -m benchmarks.cm_picks --data FOLDER

FOLDER holds ``sds/`` and ``labels/cm_2019_358_phasenet_picks.csv``. Two stations are held out of training
and of the pick shares, then the other two.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

import scaledec as sd
from scaledec.config import run_name
from scaledec.report.picks import PickSeparation, pick_separation

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "cm_2019.yaml"
FOLDS = (("CM.FLO2", "CM.ORTC"), ("CM.CHI", "CM.GARC"))


def read_picks(path: Path) -> pd.DataFrame:
    """Picks as a table of station (NET.STA) and time."""
    picks = pd.read_csv(path)
    station = picks["network"] + "." + picks["station"]
    return pd.DataFrame({"station": station, "time": pd.to_datetime(picks["arrival_time"])})


def separation(data: Path, root: Path, held_out: Sequence[str]) -> PickSeparation:
    """Run everything with some stations held out, and see how their windows are told apart."""
    exclude = ", ".join(f"'{station}.*.*'" for station in held_out)
    config = sd.load_config(
        CONFIG,
        [
            f"root={root}",
            f"archive.url={data / 'sds'}",
            f"pretrain.exclude=[{exclude}]",
            "compute.engine=serial",
        ],
    )
    sd.run(config)
    windows = sd.query(str(root), run=run_name(config))
    return pick_separation(windows, read_picks(data / "labels" / "cm_2019_358_phasenet_picks.csv"), held_out)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the pick share of each cluster and the AUC of both folds."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cm_picks", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args(arguments).data
    with tempfile.TemporaryDirectory() as folder:
        for held_out in FOLDS:
            found = separation(data, Path(folder), held_out)
            print(
                f"\nheld out {', '.join(held_out)}: ROC AUC {found.auc:.3f} over {found.n_held_out} windows, "
            )
            print(f"{found.base_rate:.1%} of them with a pick. All stations:\n")
            print(found.shares.to_string(index=False, float_format="{:.3f}".format))


if __name__ == "__main__":
    main()

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.signal import get_window

from scaledec.numerics.signal.taper import TaperKind, make_taper


@pytest.mark.parametrize("nperseg", [2, 3, 20, 255, 256])
@pytest.mark.parametrize(
    ("kind", "parameter"),
    [("hann", None), ("hamming", None), ("boxcar", None), ("kaiser", 5.7), ("tukey", 0.3)],
)
def test_tapers_are_the_periodic_ones_of_scipy(
    kind: TaperKind, parameter: float | None, nperseg: int
) -> None:
    window = kind if parameter is None else (kind, parameter)
    found = make_taper(kind, nperseg, parameter)
    np.testing.assert_allclose(found, get_window(window, nperseg), rtol=0, atol=1e-15)


def test_a_worker_with_a_plain_taper_does_not_load_scipy_signal() -> None:
    code = (
        "import sys; import scaledec.stages.cube; from scaledec.numerics.signal.taper import make_taper; "
        "make_taper('hann', 256); sys.exit('scipy.signal' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

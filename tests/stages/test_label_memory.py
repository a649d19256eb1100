"""What a labelling process holds is what the plan says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaledec.config import parse_config
from scaledec.stages.label_plan import labelling_memory
from scaledec.store.cube import CubeStore
from tests.stages.small_cubes import channels_of, make_cube, make_labels, save_model

SCRIPT = """
import ray.data, sys
from scaledec.engines import ray_data
from scaledec.location import Location
from scaledec.config import load_config
from scaledec.places import Places
from scaledec.stages.label import LabelContext, Labeller
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import LabelTask
config = load_config(sys.argv[1])
places = Places.at(config.root)
context = LabelContext(places.cube, places.run("run"), places.labels("run"), config.window_grid)
labeller = Labeller(context, threads=1)
channel = LabelStore.open(context.labels).extent.channels[0]
for _ in range(2):
    ray_data._pack(labeller.label(LabelTask("key", "", channel, 0, 0, 4)))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.heavy
@pytest.mark.parametrize("stride_s", [None, 5.12])
def test_a_labelling_process_holds_what_is_projected(tmp_path: Path, stride_s: float | None) -> None:
    """Days at 100 Hz, windows side by side or at a sixteenth of their length; 4 of them in a shard."""
    text = (
        f"root: {tmp_path}\narchive: {{url: {tmp_path}}}\nlabel: {{segments_per_shard: 4}}\n"
        f"windows: {{stride_s: {stride_s or 'null'}}}\n"
    )
    (tmp_path / "my.yaml").write_text(text)
    config = parse_config(text)
    cube = make_cube(config, channels_of(1), 4)
    assert isinstance(cube, CubeStore)
    save_model(config)
    make_labels(config, cube)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "my.yaml")]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    peak = int(found.stdout.split()[-1]) * 1024
    projected = labelling_memory(config)
    assert 0.6 * projected < peak < projected, f"{peak / 1e6:.0f} MB of {projected / 1e6:.0f} MB"

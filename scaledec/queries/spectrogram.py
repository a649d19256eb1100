"""What a labelled window looks like: its power, read from the cube."""

from __future__ import annotations

import difflib

import numpy as np
import xarray as xr

from scaledec.errors import ConfigError
from scaledec.places import Places
from scaledec.stages.sensors import Components
from scaledec.stages.window_reader import WindowReader, open_windows
from scaledec.store.cubes import open_cube
from scaledec.store.labels import LabelStore
from scaledec.vocabulary import NANOSECONDS_PER_SECOND, ChannelId, format_time

__all__ = ["open_reader", "power_attributes", "window_spectrogram"]


def open_reader(places: Places, store: LabelStore) -> tuple[WindowReader, dict[ChannelId, int]]:
    """The windows behind labels, and the first index by which the reader knows each channel or sensor."""
    cube = open_cube(places.cube)
    channels = store.extent.channels
    if store.components is None:
        return open_windows(cube, store.windows), {c: cube.channel_index(c) for c in channels}
    components = Components.from_json(store.components)
    return open_windows(cube, store.windows, components), {c: n for n, c in enumerate(channels)}


def power_attributes(places: Places) -> dict[str, str]:
    """What the cube says its power is."""
    from scaledec.store.datasets import open_dataset

    return {name: str(value) for name, value in open_dataset(places.cube)["power"].attrs.items()}


def window_spectrogram(
    places: Places, run: str, channel: ChannelId, time_ns: int, length_ns: int
) -> xr.DataArray:
    """The power of the window of a channel that holds an instant; of several the one that starts last.

    Raises
    ------
    ConfigError
        If there is no such channel, or no window holds that time.
    """
    store = LabelStore.open(places.labels(run))
    reader, index = open_reader(places, store)
    if channel not in index:
        near = difflib.get_close_matches(str(channel), [str(c) for c in index], n=3, cutoff=0.0)
        raise ConfigError(f"no labels of channel {str(channel)!r}; nearest: {', '.join(near)}")
    place = _holding(reader, store, index[channel], time_ns, length_ns)
    if place is None:
        raise ConfigError(f"no window of {channel} holds {format_time(time_ns)}")
    time_index, window, start_ns = place
    wanted = np.array([window])
    _, power = reader.read(index[channel], time_index, wanted, 1)
    if not len(power):  # not all of it is real: shown with its holes
        power = reader.read_segment(index[channel], time_index).gather(wanted)
    frame_s = np.arange(power.shape[-2]) * store.windows.hop_s
    frame_ns = start_ns + np.round(frame_s * NANOSECONDS_PER_SECOND).astype(np.int64)
    planes = {"plane": list(store.planes)} if store.planes else {}
    return xr.DataArray(
        power[0],
        dims=(*planes, "frame", "frequency"),
        coords={
            **planes,
            "frame": ("frame", frame_s, {"units": "s", "long_name": "start of the frame after the window's"}),
            "frequency": ("frequency", store.grid.frequency_hz, {"units": "Hz"}),
            "time": ("frame", frame_ns.astype("datetime64[ns]")),
            "channel": str(channel),
            "start": np.datetime64(start_ns, "ns"),
        },
        name="power",
        attrs=power_attributes(places),
    )


def _holding(
    reader: WindowReader, store: LabelStore, index: int, time_ns: int, length_ns: int
) -> tuple[int, int, int] | None:
    """Segment, number and start of the window that holds an instant; it may reach on into the next day."""
    extent = store.extent
    at = (time_ns - extent.start_ns) // store.grid.segment_ns
    for time_index in (at, at - 1):
        if 0 <= time_index < extent.n_segments:
            start_ns = reader.start_ns(index, time_index)
            holds = np.flatnonzero((start_ns <= time_ns) & (start_ns > time_ns - length_ns))
            if len(holds):
                window = int(holds[np.argmax(start_ns[holds])])
                return int(time_index), window, int(start_ns[window])
    return None

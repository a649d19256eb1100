"""When clusters happen: over time, by channel, by hour of the day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scaledec.report.figures.heatmaps import day_hour_maps
from scaledec.report.figures.timeline import TimelineRow, counts_over_time, label_timeline
from scaledec.report.gather.scan import HOUR_NS
from scaledec.report.gather.view import RunView
from scaledec.report.sections.section import Picture, Section
from scaledec.synthetic.families import FAMILY_NAMES

__all__ = ["heatmap_section", "over_time_section", "timeline_section"]

_MOST_PARTS = 600
# Parts of the time axis that a person thinks in, in hours.
_STEPS = {1: "hour", 3: "3 hours", 6: "6 hours", 24: "day", 168: "week", 720: "30 days", 8760: "365 days"}
_MOST_STRIPS = 60
_MOST_DAYS = 400
_DAY_HOURS = 24


def over_time_section(view: RunView) -> Section:
    """Windows of each cluster over time."""
    hours = view.scan.hourly.shape[1]
    step = next((n for n in _STEPS if hours / n <= _MOST_PARTS), max(_STEPS))
    counts = _summed(view.scan.hourly, step)
    looks = view.looks
    return Section(
        "over-time",
        "Windows over time",
        "Every labelled window of all channels. A dip in all clusters at once is a gap in the archive.",
        [
            Picture(
                "over-time",
                f"Windows per {_STEPS[step]} of each cluster",
                lambda: counts_over_time(
                    counts,
                    start=np.datetime64(view.scan.start_ns, "ns"),
                    bin_s=step * HOUR_NS / 1e9,
                    names=looks.names,
                    colours=looks.colours,
                    per=_STEPS[step],
                ),
            )
        ],
    )


def timeline_section(view: RunView) -> Section:
    """A strip a channel."""
    scan, looks = view.scan, view.looks
    busiest = np.sort(np.argsort(-scan.by_channel.sum(axis=1), kind="stable")[:_MOST_STRIPS])
    rows = [TimelineRow(str(scan.channels[c]), scan.binned[c], view.true_counts(c)) for c in busiest.tolist()]
    end_ns = scan.start_ns + scan.binned.shape[1] * scan.part_ns
    span = np.datetime64(scan.start_ns, "ns"), np.datetime64(end_ns, "ns")
    left_out = len(scan.channels) - len(rows)
    return Section(
        "timeline",
        "Labels of each channel",
        "The height of a colour is its share of the windows of that moment; grey has no label (a gap, or "
        "not labelled yet), white has no window.",
        [
            Picture(
                "timeline",
                "Shares of clusters over time, a strip a channel",
                lambda: label_timeline(
                    rows,
                    span=span,
                    names=looks.names,
                    colours=looks.colours,
                    truth_names=FAMILY_NAMES if view.families else (),
                    truth_colours=view.family_colours,
                ),
            )
        ],
        missing=f"The {len(rows)} channels with most windows are shown, {left_out} are not."
        if left_out
        else "",
    )


def heatmap_section(view: RunView) -> Section:
    """Day against hour of the day."""
    scan, looks = view.scan, view.looks
    first = scan.start_ns // HOUR_NS % _DAY_HOURS
    n_days = -(-(first + scan.hourly.shape[1]) // _DAY_HOURS)
    step = -(-n_days // _MOST_DAYS)
    after = -(first + scan.hourly.shape[1]) % (_DAY_HOURS * step)
    padded = np.pad(scan.hourly, ((0, 0), (first, after)))
    counts = padded.reshape(len(padded), -1, step, _DAY_HOURS).sum(axis=2)
    midnight = np.datetime64(scan.start_ns - first * HOUR_NS, "ns").astype("datetime64[D]")
    return Section(
        "rhythm",
        "Day and hour",
        "A row that is dark every day is a rhythm of the day: machines keep working hours, tides do not. "
        "Hours are UTC.",
        [
            Picture(
                "day-hour",
                "Windows by day and hour of the day, a map a cluster",
                lambda: day_hour_maps(
                    counts,
                    start=midnight,
                    names=looks.names,
                    colours=looks.colours,
                    days_per_column=step,
                ),
            )
        ],
    )


def _summed(hourly: npt.NDArray[np.int64], step: int) -> npt.NDArray[np.int64]:
    """Counts of ``step`` hours each, the last part filled up with nothing."""
    n_clusters, hours = hourly.shape
    parts = -(-hours // step)
    padded = np.pad(hourly, ((0, 0), (0, parts * step - hours)))
    return np.asarray(padded.reshape(n_clusters, parts, step).sum(axis=2))

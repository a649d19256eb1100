"""Whether labels still look as they did while the model was trained; kept with the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scaledec.config import Config, run_name
from scaledec.errors import StoreNotFoundError
from scaledec.location import Location
from scaledec.places import Places
from scaledec.vocabulary import format_time

if TYPE_CHECKING:
    import pandas as pd

    from scaledec.stages.label_drift import DriftBlock, Tallies

__all__ = ["DriftReport", "drift", "read_drift_line"]

_FILE = "drift.json"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class DriftReport:
    """A run's labels month by month beside those of its training period."""

    training: tuple[int, int]
    """First and last segment start of the training windows, nanoseconds of UTC."""
    blocks: Sequence[DriftBlock]

    @property
    def flagged(self) -> list[DriftBlock]:
        """Months that do not look like the training period."""
        return [block for block in self.blocks if block.reasons]

    def line(self) -> str:
        """What there is to say in one line."""
        first, last = (format_time(moment)[:10] for moment in self.training)
        if not self.flagged:
            later = sum(not block.training for block in self.blocks)
            if not later:
                return f"no month outside the training period yet ({first} to {last})"
            months = "1 month" if later == 1 else f"{later} months"
            return f"none in {months} outside the training period ({first} to {last})"
        newest = self.flagged[-1]
        more = f", and {len(self.flagged) - 1} months more" if len(self.flagged) > 1 else ""
        return f"{newest.month}: {'; '.join(newest.reasons)}{more}"

    def table(self) -> str:
        """One line a month, reasons below it."""
        rows = ["month    windows    confidence  beyond 99 %  beyond all  shares  conf.  outlier"]
        for block in self.blocks:
            d = block.departure
            rows.append(
                f"{block.month}  {block.windows:<9}  {block.median_confidence:<10.2f}  "
                f"{block.beyond_far:<11.2%}  {block.beyond_all:<10.2%}  "
                f"{d.shares:<6.2f}  {d.confidence:<5.2f}  {d.outlier:<5.2f}"
                f"{'  training' if block.training else '  DRIFT' if block.reasons else ''}"
            )
            rows += [f"    {reason}" for reason in block.reasons]
        return "\n".join(rows)

    def frame(self) -> pd.DataFrame:
        """One row a month."""
        import pandas as pd

        rows = []
        for block in self.blocks:
            values = block.to_json()
            departures = {f"{name}_distance": value for name, value in values.pop("departure").items()}
            shares = {f"share_{k}": share for k, share in enumerate(values.pop("shares"))}
            rows.append({**values, **departures, **shares, "reasons": "; ".join(block.reasons)})
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "training": list(map(format_time, self.training)),
            "flagged": [block.month for block in self.flagged],
            "line": self.line(),
            "blocks": [block.to_json() for block in self.blocks],
        }


def drift(config: Config) -> DriftReport:
    """Bring the report below the run up to date: what was labelled since the last time is read.

    Raises
    ------
    StoreNotFoundError
        If the run has no labels or no training set.
    StoreError
        If labels cannot be read.
    """
    from scaledec.ledger.ledger import Ledger
    from scaledec.stages.label_drift import judge, update_tallies
    from scaledec.store.labels import LabelStore
    from scaledec.store.names import names_of
    from scaledec.store.training import TrainingStore

    places, run = Places.at(config.root, config.storage_options), run_name(config)
    store = LabelStore.open(places.labels(run))
    starts = TrainingStore.open(places.training_set(run)).segment_start_ns
    training = int(starts.min()), int(starts.max())
    place = places.run(run).child(_FILE)
    results = Ledger(places.label_ledger(run)).read(details=()).of_status("done")
    tallies = update_tallies(store, results, training, _read_tallies(place))
    report = DriftReport(training, judge(tallies, names_of(places.run(run), len(store.centroid))))
    values = {"version": _VERSION, "run": run, **report.to_json(), "tallies": tallies.to_json()}
    place.write_bytes((json.dumps(values, indent=1) + "\n").encode())
    return report


def read_drift_line(run: Location) -> tuple[str, str] | None:
    """``known`` or ``drifting`` and one line, as the last report below a run said; ``None`` without one."""
    values = _read(run.child(_FILE))
    return None if values is None else ("drifting" if values["flagged"] else "known", values["line"])


def _read_tallies(place: Location) -> Tallies | None:
    from scaledec.stages.label_drift import Tallies

    values = _read(place)
    return None if values is None else Tallies.from_json(values["tallies"])


def _read(place: Location) -> dict[str, Any] | None:
    """What a report's file holds; ``None`` where there is none, or one of another version or torn."""
    try:
        values: dict[str, Any] = json.loads(place.read_bytes())
    except (StoreNotFoundError, ValueError):
        return None
    return values if values.get("version") == _VERSION else None

"""Deep embedded clustering of seismic archives of any size.

>>> import scaledec as sd
>>> config = sd.load_config("my.yaml")  # doctest: +SKIP
>>> sd.run(config)  # doctest: +SKIP
>>> labels = sd.open_labels(config.root)  # doctest: +SKIP

Names are loaded when they are first used, so importing scaledec costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scaledec.api import (
        Config,
        Outcome,
        build_cube,
        cluster,
        label,
        load_config,
        parse_config,
        plan,
        pretrain,
        run,
        status,
        verify,
    )
    from scaledec.estimator import DeepEmbeddedClustering
    from scaledec.pipeline.report import write_report
    from scaledec.pipeline.select_k import select_k
    from scaledec.queries.compare import compare
    from scaledec.queries.counts import count_by, counts_in_time
    from scaledec.queries.detections import detections
    from scaledec.queries.episodes import episodes
    from scaledec.queries.events import join_events
    from scaledec.queries.rows import query
    from scaledec.queries.series import join_series
    from scaledec.queries.similar import similar
    from scaledec.queries.sql import sql
    from scaledec.queries.statistics import class_statistics
    from scaledec.store.datasets import flatten_time, open_cube, open_labels
    from scaledec.synthetic.archive import write_synthetic_archive

__version__ = "0.1.0"

__all__ = [
    "Config",
    "DeepEmbeddedClustering",
    "Outcome",
    "__version__",
    "build_cube",
    "class_statistics",
    "cluster",
    "compare",
    "count_by",
    "counts_in_time",
    "detections",
    "episodes",
    "flatten_time",
    "join_events",
    "join_series",
    "label",
    "load_config",
    "open_cube",
    "open_labels",
    "parse_config",
    "plan",
    "pretrain",
    "query",
    "run",
    "select_k",
    "similar",
    "sql",
    "status",
    "verify",
    "write_report",
    "write_synthetic_archive",
]

_ELSEWHERE = {
    "DeepEmbeddedClustering": "scaledec.estimator",
    "class_statistics": "scaledec.queries.statistics",
    "count_by": "scaledec.queries.counts",
    "counts_in_time": "scaledec.queries.counts",
    "compare": "scaledec.queries.compare",
    "detections": "scaledec.queries.detections",
    "episodes": "scaledec.queries.episodes",
    "flatten_time": "scaledec.store.datasets",
    "join_events": "scaledec.queries.events",
    "join_series": "scaledec.queries.series",
    "open_cube": "scaledec.store.datasets",
    "open_labels": "scaledec.queries.accessor",
    "query": "scaledec.queries.rows",
    "select_k": "scaledec.pipeline.select_k",
    "similar": "scaledec.queries.similar",
    "write_report": "scaledec.pipeline.report",
    "sql": "scaledec.queries.sql",
    "write_synthetic_archive": "scaledec.synthetic.archive",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'scaledec' has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "scaledec.api")), name)


def __dir__() -> list[str]:
    return sorted(__all__)

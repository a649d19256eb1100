"""Names that people give to the clusters of a run, and what they noted: beside the run, as JSON.

``ROOT/runs/RUN/names.json``. The label store's ``flag_meanings`` follow, one word a cluster.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from scaledec.errors import StoreError, StoreNotFoundError
from scaledec.location import Location

__all__ = ["ClusterName", "default_name", "flag_meanings", "names_of", "read_names", "write_names"]

_FILE = "names.json"


@dataclass(frozen=True, slots=True)
class ClusterName:
    """What a person calls a cluster."""

    name: str
    note: str = ""


def default_name(cluster: int) -> str:
    """What a cluster is called that nobody has named."""
    return f"cluster_{cluster}"


def read_names(run: Location) -> dict[int, ClusterName]:
    """Names given to clusters of the run in this folder, by cluster; empty if there are none.

    Raises
    ------
    StoreError
        If what lies there is not what :func:`write_names` writes.
    """
    place = run.child(_FILE)
    try:
        found = json.loads(place.read_bytes())
        return {int(cluster): ClusterName(**entry) for cluster, entry in found.items()}
    except StoreNotFoundError:
        return {}
    except (ValueError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{place} is damaged: {error}; expected clusters with a name and a note: correct or remove it"
        ) from error


def write_names(run: Location, names: Mapping[int, ClusterName]) -> None:
    """Keep these names, and no others."""
    entries = {str(cluster): asdict(names[cluster]) for cluster in sorted(names)}
    run.child(_FILE).write_bytes(json.dumps(entries, indent=1, ensure_ascii=False).encode())


def names_of(run: Location, n_clusters: int) -> tuple[str, ...]:
    """The name of each cluster, :func:`default_name` where it has none."""
    given = read_names(run)
    return tuple(given[k].name if k in given else default_name(k) for k in range(n_clusters))


def flag_meanings(names: tuple[str, ...]) -> str:
    """Names as CF wants them: words separated by blanks, in the order of the clusters.

    Examples
    --------
    >>> flag_meanings(("noise", "icequake, ice front"))
    'noise icequake,_ice_front'
    """
    return " ".join("_".join(name.split()) for name in names)

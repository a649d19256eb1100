"""The verb `name`: what people call the clusters of a run."""

from __future__ import annotations

from scaledec.config import Config, run_name
from scaledec.errors import ConfigError, RootLockedError, StoreNotFoundError
from scaledec.ledger.lock import RootLock
from scaledec.location import Location
from scaledec.places import Places
from scaledec.store.names import ClusterName, read_names, write_names

__all__ = ["cluster_names", "name_cluster"]

_LONGEST = 80


def cluster_names(config: Config) -> dict[int, ClusterName]:
    """Names given to the clusters of the configuration's run, by cluster."""
    return read_names(_run(config))


def name_cluster(config: Config, cluster: int, name: str, *, note: str = "") -> None:
    """Name a cluster of the configuration's run; an empty name takes the name away.

    The label store tells the new name at once, or, while another coordinator works on the root, after its
    next labelling.

    Parameters
    ----------
    cluster
        Its number.
    name
        At most 80 characters of one line. Several clusters may share one.
    note
        Anything worth keeping beside it.

    Raises
    ------
    ConfigError
        If there is no such cluster, or the name is none.
    StoreNotFoundError
        If the run has not been clustered.
    """
    from scaledec.pipeline.label import publish_label_store
    from scaledec.training.saved_model import SavedModel

    run = _run(config)
    n_clusters = SavedModel.load(run).n_clusters
    if not n_clusters:
        raise StoreNotFoundError(f"the run at {run} is not clustered yet: run `scaledec cluster` first")
    if not 0 <= cluster < n_clusters:
        raise ConfigError(f"cluster {cluster} asked for; this run has the clusters 0 to {n_clusters - 1}")
    name = name.strip()
    if len(name) > _LONGEST or not name.isprintable():
        raise ConfigError(f"name {name[:_LONGEST]!r} is no name: expected one line of at most {_LONGEST}")
    names = read_names(run)
    names.pop(cluster, None)
    if name:
        names[cluster] = ClusterName(name, note)
    write_names(run, names)
    places = Places.at(config.root, config.storage_options)
    if places.labels(run_name(config)).exists():
        try:
            with RootLock(places.bookkeeping, "name"):
                publish_label_store(config)
        except RootLockedError:
            # It publishes the names itself when it comes to the labels; readers of ours look at the file.
            return


def _run(config: Config) -> Location:
    return Places.at(config.root, config.storage_options).run(run_name(config))

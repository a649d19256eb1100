"""The space of embeddings: distances, order, maps, silhouettes."""

from __future__ import annotations

import importlib.util
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from scaledec.report.figures.distances import FEWEST_FOR_DENSITY, distance_curves, sorted_embeddings
from scaledec.report.figures.projection import embedding_maps
from scaledec.report.figures.silhouettes import SilhouettePanel, silhouette_panels
from scaledec.report.gather.training import Assigned
from scaledec.report.gather.view import NO_TRAINING_SET, RunView
from scaledec.report.sections.section import Picture, Section

__all__ = ["distance_section", "projection_section", "silhouette_section", "sorted_section"]

_MAP_WINDOWS, _SILHOUETTE_WINDOWS, _SORTED_WINDOWS = 1500, 1500, 300
# Of t-SNE: a map of so few windows changes little after these.
_MAP_STEPS = 500
_PERPLEXITY = 30.0
# Dimensions that silhouettes of windows themselves are computed in: more change them in the third digit.
_DATA_DIMENSIONS = 50


def distance_section(view: RunView) -> Section:
    """Distances of the archive's windows."""
    looks = view.looks
    distances = [sample.distance for sample in view.scan.samples]
    few = [looks.full_names[k] for k, d in enumerate(distances) if d.size < FEWEST_FOR_DENSITY]
    return Section(
        "distances",
        "Distance to the centroid",
        "Of up to 4,000 windows of each cluster, drawn at random from the whole archive. A long tail is a "
        "cluster that takes in what fits nowhere else.",
        [
            Picture(
                "distances",
                "Density and cumulative share of distances, a curve a cluster",
                lambda: distance_curves(distances, names=looks.names, colours=looks.colours),
            )
        ],
        missing=f"Too few windows for a density: {', '.join(few)}." if few else "",
    )


def sorted_section(view: RunView) -> Section:
    """Embeddings along the way from each centroid outwards."""
    text = (
        "Every row is a training window, from the nearest to the centroid (top) to the farthest; every "
        "column a number of the embedding. Where a pattern holds down to the bottom, the cluster is one."
    )
    assigned, looks = view.assigned, view.looks
    if assigned is None:
        return Section("sorted", "Embeddings by distance", text, missing=NO_TRAINING_SET)
    scaled = _scaled(assigned.embedding)
    there = np.unique(assigned.label).tolist()
    rows = [_outwards(assigned, scaled, k) for k in there]
    empty = [name for k, name in enumerate(looks.full_names) if k not in there]
    return Section(
        "sorted",
        "Embeddings by distance",
        text,
        [
            Picture(
                "sorted-embeddings",
                "Embeddings sorted by distance to the centroid, a panel a cluster",
                lambda: sorted_embeddings(
                    rows,
                    names=[looks.names[k] for k in there],
                    colours=[looks.colours[k] for k in there],
                ),
            )
        ],
        missing=f"No training window is in {', '.join(empty)}." if empty else "",
    )


def projection_section(view: RunView) -> Section:
    """t-SNE and PCA (and UMAP where it is installed) of a sample of the training set."""
    assigned, looks = view.assigned, view.looks
    title = "Embedding in two dimensions"
    if assigned is None:
        return Section("embedding", title, "", missing=NO_TRAINING_SET)
    chosen = assigned.uniform(_MAP_WINDOWS, view.seed)
    text = (
        f"The same {len(chosen):,} training windows, drawn at random, in each map. t-SNE keeps neighbours "
        "together, and its distances between groups mean nothing; PCA keeps distances along the two "
        "directions in which embeddings vary most."
    )
    if len(chosen) < 5:
        return Section("embedding", title, text, missing=f"{len(chosen)} windows are too few for a map.")
    label = assigned.label[chosen]
    maps = _maps(np.asarray(assigned.embedding[chosen], np.float64), view.seed)
    return Section(
        "embedding",
        title,
        text,
        [
            Picture(
                "embedding-maps",
                "Maps of embeddings coloured by cluster, and the share of each cluster",
                lambda: embedding_maps(maps, label, names=looks.names, colours=looks.colours),
            )
        ],
    )


def silhouette_section(view: RunView) -> Section:
    """Silhouettes before and after clustering, in the embedding and of the windows themselves."""
    assigned, windows, looks = view.assigned, view.windows, view.looks
    text = (
        "1: a window lies amid its own cluster; 0: between two; below 0: nearer to another one. Coloured: "
        "all windows of a cluster, sorted; the dark line is the cluster's mean. Before is k-means on the "
        "pretrained embedding, each of its clusters under the number of the one that it shares most windows "
        "with. About as many windows of every cluster, drawn at random."
    )
    title = "Silhouettes before and after"
    if assigned is None or windows is None:
        return Section("silhouettes", title, text, missing=NO_TRAINING_SET)
    chosen = np.sort(
        np.random.default_rng(view.seed).permutation(len(windows.position))[:_SILHOUETTE_WINDOWS]
    )
    position = windows.position[chosen]
    data = _reduced(_scaled(np.nan_to_num(windows.flat[chosen])), view.seed)
    spaces = (
        ("embedding", assigned.embedding_pretrained[position], assigned.embedding[position]),
        ("data", data, data),
    )
    panels = []
    method = str(view.labels.attributes["scaledec_method"]).upper()
    for place, before, after in spaces:
        kmeans = _matched(assigned.label_kmeans[position], assigned.label[position], looks.n_clusters)
        panels.append(_panel(f"before (k-means), {place}", before, kmeans))
        panels.append(_panel(f"after ({method}), {place}", after, assigned.label[position]))
    shown = [panel for panel in panels if panel is not None]
    if not shown:
        return Section("silhouettes", title, text, missing="One cluster alone has no silhouette.")
    return Section(
        "silhouettes",
        title,
        text,
        [
            Picture(
                "silhouettes",
                "Silhouettes of each cluster before and after clustering, in two spaces",
                lambda: silhouette_panels(shown, names=looks.names, colours=looks.colours),
            )
        ],
    )


def _panel(title: str, x: npt.NDArray[Any], label: npt.NDArray[np.int64]) -> SilhouettePanel | None:
    from sklearn.metrics import silhouette_samples

    if not 1 < len(np.unique(label)) < len(label):
        return None
    return SilhouettePanel(title, label, np.asarray(silhouette_samples(x, label), np.float64))


def _matched(
    label: npt.NDArray[np.int64], to: npt.NDArray[np.int64], n_clusters: int
) -> npt.NDArray[np.int64]:
    """Another labelling's clusters by the numbers of those that they share most windows with."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((n_clusters, n_clusters), np.int64)
    np.add.at(table, (label, to), 1)
    _, number = linear_sum_assignment(table, maximize=True)
    return np.asarray(number[label], np.int64)


def _maps(z_ND: npt.NDArray[np.float64], seed: int) -> list[tuple[str, npt.NDArray[np.float64]]]:
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    if z_ND.shape[1] < 2:
        z_ND = np.column_stack([z_ND, np.zeros(len(z_ND))])
    pca = PCA(2, svd_solver="full").fit(z_ND)
    flat = np.asarray(pca.transform(z_ND))
    told = " and ".join(f"{share:.0%}" for share in pca.explained_variance_ratio_)
    perplexity = min(_PERPLEXITY, (len(z_ND) - 1) / 3)
    make = TSNE(2, perplexity=perplexity, init="pca", max_iter=_MAP_STEPS, random_state=seed)
    # Threads that wait for one another at every step take six times as long on a busy machine.
    with threadpool_limits(1):
        near = np.asarray(make.fit_transform(z_ND.astype(np.float32)))
    maps = [(f"t-SNE, perplexity {perplexity:.0f}", near), (f"PCA, {told} of the variance", flat)]
    if importlib.util.find_spec("umap") is not None:
        umap: Any = importlib.import_module("umap")
        maps.insert(1, ("UMAP, 15 neighbours", np.asarray(umap.UMAP(random_state=seed).fit_transform(z_ND))))
    return maps


def _outwards(assigned: Assigned, scaled: npt.NDArray[np.float64], cluster: int) -> npt.NDArray[np.float64]:
    """Scaled embeddings of a cluster's windows, nearest first, evenly thinned."""
    mine = np.flatnonzero(assigned.label == cluster)
    order = mine[np.argsort(assigned.distance[mine], kind="stable")]
    n = min(len(order), _SORTED_WINDOWS)
    return scaled[order[np.linspace(0, len(order) - 1, n).astype(np.int64)]] if n else scaled[:0]


def _scaled(x: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """In standard deviations from the mean, column by column."""
    values = np.asarray(x, np.float64)
    return np.asarray((values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12))


def _reduced(x: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    from sklearn.decomposition import PCA

    most = partial(min, x.shape[0], x.shape[1])
    if most() <= _DATA_DIMENSIONS:
        return x
    return np.asarray(PCA(_DATA_DIMENSIONS, svd_solver="randomized", random_state=seed).fit_transform(x))

"""Clustering as configured, and the schedules of publications by name.

============  ==========================================================================================
preset        source
============  ==========================================================================================
xie2016       Xie, Girshick and Farhadi (2016), ICML, and its code ``piiswrong/dec`` (``dec/dec.py``):
              SGD of momentum 0.9, the target refreshed every 20 steps, no limit but the tolerance
guo2017       Guo, Gao, Liu and Yin (2017), IJCAI, and its code ``XifengGuo/IDEC`` (``IDEC.py``), its
              settings for MNIST: 20,000 steps at most, which is 74 passes over its 70,000 images
jenkins2021   the code ``NeptuneProjects/RISCluster`` (``scripts/runDCEC.py``, ``models.py``); the settings
              file of the paper's own run is not published
zclust        the code ``nimanzik/zClust`` (``production.py``, ``engine.py``): 100 starts of k-means, the
              target of every batch from current weights (here: refreshed once a pass, over all windows);
              batch, rate and tolerance are the user's there, and the defaults here
snover2020    Snover et al. (2020), SRL, as its workflow stands in ``NeptuneProjects/RISCluster``
              (``scripts/DEC.py``): 0.9 MSE + 0.1 KL (gamma is their ratio), at most 47,250 steps of
              which 3,780 make a pass there
============  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from scaledec.config.section import Count, NonNegative, Positive, Section

__all__ = ["SCHEDULES", "ClusterConfig", "Schedule"]

Schedule: TypeAlias = Literal["xie2016", "guo2017", "jenkins2021", "zclust", "snover2020"]

SCHEDULES: Mapping[Schedule, Mapping[str, Any]] = {
    "xie2016": {
        "method": "dec",
        "init": "kmeans",
        "restarts": 20,
        "optimiser": "sgd",
        "learning_rate": 0.01,
        "batch": 256,
        "refresh_steps": 20,
        "tolerance": 0.001,
        "epochs": 1000,
        "loss": "raw",
    },
    "guo2017": {
        "method": "idec",
        "init": "kmeans",
        "restarts": 20,
        "gamma": 0.1,
        "learning_rate": 0.001,
        "batch": 256,
        "refresh_steps": 140,
        "tolerance": 0.001,
        "epochs": 74,
        "loss": "raw",
    },
    "jenkins2021": {
        "method": "idec",
        "init": "gmm",
        "restarts": 100,
        "gamma": 0.1,
        "learning_rate": 1e-4,
        "batch": 512,
        "refresh_steps": 300,
        "tolerance": 0.001,
        "epochs": 100,
        "loss": "raw",
    },
    "zclust": {
        "method": "dec",
        "init": "kmeans",
        "restarts": 100,
        "updates_per_epoch": 1,
        "loss": "raw",
    },
    "snover2020": {
        "method": "idec",
        "init": "kmeans",
        "restarts": 100,
        "gamma": 0.1 / 0.9,
        "learning_rate": 1e-4,
        "batch": 256,
        "refresh_steps": 315,
        "tolerance": 0.001,
        "epochs": 13,
        "loss": "raw",
    },
}
"""What each publication sets; alpha is 1 in all of them."""

# Keys that were added later; not written while they are at their defaults.
_LATER = ("preset", "optimiser", "refresh_steps")


class ClusterConfig(Section):
    """Clustering of the embeddings."""

    preset: Schedule | None = None
    """The published schedule and raw loss of xie2016, guo2017, jenkins2021, zclust or snover2020; a key given
    beside it is yours (delete those that it is to set). The network is model.preset's."""
    method: Literal["dec", "idec", "n2d", "kmeans", "gmm"] = "idec"
    """idec keeps the decoder and its loss, dec drops them; n2d teaches the network the clusters of the
    embedding's manifold; kmeans and gmm stop at the initialisation."""
    n_clusters: Annotated[int, Field(ge=2)] = 8
    """Number of clusters."""
    init: Literal["kmeans", "gmm", "manifold"] = "gmm"
    """How the first centroids are found (gmm: full covariance; manifold: of k-means, the mixture and the
    clusters of a graph of nearest neighbours, those that suit graph and distances best)."""
    restarts: Count = 20
    """Random starts of the initialisation; the best is kept."""
    gamma: NonNegative = 0.1
    """Weight of the clustering loss beside the reconstruction loss (idec): low where one class outnumbers
    the others, as noise does in most archives (the target evens cluster sizes out); 1 where none does."""
    alpha: Positive = 1.0
    """Degrees of freedom of Student's t in the soft assignment."""
    loss: Literal["scaled", "raw"] = "scaled"
    """scaled: MSE / Var(x) + gamma KL / log K, so that gamma means the same on any data;
    raw: MSE + gamma KL as published."""
    epochs: Count = 100
    """At most this many passes."""
    batch: Count = 256
    """Windows of one optimiser step, over all workers together."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """sgd: with momentum 0.9, as in Xie et al. (2016)."""
    learning_rate: Positive = 5e-4
    """Of the optimiser."""
    updates_per_epoch: Count = 2
    """Refreshes of the target distribution in one pass."""
    refresh_steps: Count | None = None
    """Refresh the target after so many steps instead, whatever a pass has."""
    tolerance: NonNegative = 0.003
    """Stop when a smaller share of windows changed its label between two refreshes."""
    seed: int = 0
    """Of initialisation and shuffling."""

    @model_validator(mode="before")
    @classmethod
    def _published_schedule(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("preset") in SCHEDULES:
            return {**SCHEDULES[given["preset"]], **given}
        return given

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # So the fingerprints of runs made before these keys were there stay what they are.
        written: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {
            name: value
            for name, value in written.items()
            if name not in _LATER or getattr(self, name) != fields[name].default
        }

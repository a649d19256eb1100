"""The training windows that a model of an earlier version came without: they are in its training set."""

from __future__ import annotations

import numpy as np

from scaledec.errors import StoreConflictError
from scaledec.location import Location
from scaledec.store.training import TRAIN, TrainingStore
from scaledec.training.saved_model import SavedModel

__all__ = ["referring"]


def referring(model: SavedModel, training_set: Location) -> SavedModel:
    """The model with what its clustering has left in the training set as reference.

    Raises
    ------
    StoreNotFoundError
        If there is no training set any more.
    StoreConflictError
        If no clustering has left its embeddings there.
    """
    store = TrainingStore.open(training_set)
    embedding = store.assignments().get("embedding")
    if embedding is None or embedding.shape[1] != model.spec.latent:
        raise StoreConflictError(
            f"{training_set} holds no embeddings of this model, which outlier scores are measured by: remove "
            "model.json of the run and run `scaledec cluster` again"
        )
    used = (store.split == TRAIN) & np.isfinite(embedding).all(axis=1)
    return model.referring_to(embedding[used])

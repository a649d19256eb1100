"""A trained model on disk and at work: network, normaliser, clusters.

``model.safetensors`` holds every number, ``model.json`` what they mean. Loading is strict: a missing
or surplus tensor is an error, never a silently untrained layer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from scaledec.errors import StoreError, TrainingError
from scaledec.location import Location
from scaledec.numerics.clusters import Assignment, Clusters, Mixture, TrainingReference
from scaledec.numerics.nets.base import Autoencoder, with_planes
from scaledec.numerics.nets.presets import NetworkSpec
from scaledec.numerics.normalise import Normaliser
from scaledec.training.checkpoint import with_prefix, without_prefix

__all__ = ["Precision", "SavedModel", "embed_tensor"]

Float32: TypeAlias = npt.NDArray[np.float32]
Float64: TypeAlias = npt.NDArray[np.float64]
Precision: TypeAlias = Literal["float32", "bfloat16"]
Method: TypeAlias = Literal["autoencoder", "dec", "idec", "n2d", "kmeans", "gmm"]

_WEIGHTS = "model.safetensors"
_FACTS = "model.json"
_FORMAT = 1
_DESCRIBED = ("format", "method", "network", "normaliser", "alpha")
# Windows encoded at once. The number is fixed, and a shorter tail is filled up, because libraries choose
# other kernels (and other roundings) for other sizes: this way a window's embedding does not depend, bit
# by bit, on what it is encoded with. On a CPU speed is flat from 64 to 256.
_CHUNK_CPU = 64
_CHUNK_GPU = 1024


@dataclass(frozen=True, slots=True)
class SavedModel:
    """Everything that turns windows into labels.

    Parameters
    ----------
    network
        The autoencoder, on the device where it works.
    spec
        What the network was built from.
    normaliser
        Applied to windows before the network.
    method
        How clusters are assigned; ``autoencoder``: pretrained only, no clusters.
    centroids
        (cluster, latent), float64; no rows for ``autoencoder``.
    alpha
        Degrees of freedom of Student's t in the soft assignment.
    mixture
        For ``gmm`` only.
    reference
        The windows trained on, as later ones are held against them; ``None`` where there are no clusters,
        and in models of earlier versions.
    facts
        Anything worth keeping: fingerprint, losses, versions.
    """

    network: Autoencoder
    spec: NetworkSpec
    normaliser: Normaliser
    method: Method = "autoencoder"
    centroids: Float64 = field(default_factory=lambda: np.zeros((0, 0)))
    alpha: float = 1.0
    mixture: Mixture | None = None
    reference: TrainingReference | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_clusters(self) -> int:
        """Number of clusters."""
        return len(self.centroids)

    def save(self, location: Location) -> str:
        """Write ``model.safetensors`` and ``model.json`` below ``location``; return the model's checksum.

        The description goes last: a model without it is not there yet.
        """
        weights = save(self._tensors())
        checksum = _checksum(weights, self._description())
        values = {
            **self._description(),
            "checksum": checksum,
            "facts": dict(self.facts),
        }
        location.child(_WEIGHTS).write_bytes(weights)
        location.child(_FACTS).write_bytes((json.dumps(values, indent=1) + "\n").encode())
        return checksum

    @property
    def checksum(self) -> str:
        """SHA-256 over everything that decides labels; facts are left out."""
        return _checksum(save(self._tensors()), self._description())

    @classmethod
    def load(cls, location: Location, *, device: torch.device | None = None) -> SavedModel:
        """Read what :meth:`save` wrote.

        Raises
        ------
        StoreNotFoundError
            If no model lies there.
        StoreError
            If its parts do not fit together.
        """
        try:
            values = json.loads(location.child(_FACTS).read_bytes())
        except ValueError as error:
            raise StoreError(f"{location.child(_FACTS)} is no JSON: {error}; train the run again") from error
        weights = location.child(_WEIGHTS).read_bytes()
        if values.get("checksum") != _checksum(weights, {name: values.get(name) for name in _DESCRIBED}):
            raise StoreError(
                f"{location}: {_WEIGHTS} is not the one that {_FACTS} (format {values.get('format')}) "
                "describes; train the run again or restore both files from one copy"
            )
        try:
            return cls._from_parts(load(weights), values, device or torch.device("cpu"))
        except (SafetensorError, RuntimeError, KeyError) as error:
            raise StoreError(f"{location} holds no model of this version: {error}") from error

    @classmethod
    def _from_parts(
        cls, tensors: dict[str, Tensor], values: Mapping[str, Any], device: torch.device
    ) -> SavedModel:
        spec = NetworkSpec.from_json(values["network"])
        network = spec.build()
        network.load_state_dict(without_prefix("network", tensors), strict=True)
        statistics = {name: t.numpy() for name, t in without_prefix("normaliser", tensors).items()}
        gaussian = {name: t.numpy() for name, t in without_prefix("mixture", tensors).items()}
        reference = {name: t.numpy() for name, t in without_prefix("reference", tensors).items()}
        return cls(
            network.to(device).eval(),
            spec,
            Normaliser.from_json(values["normaliser"], statistics),
            values["method"],
            tensors["centroids"].numpy(),
            values["alpha"],
            Mixture(**gaussian) if gaussian else None,
            TrainingReference.from_arrays(reference) if reference else None,
            values["facts"],
        )

    def _description(self) -> dict[str, Any]:
        values = (_FORMAT, self.method, self.spec.to_json(), self.normaliser.to_json(), self.alpha)
        return dict(zip(_DESCRIBED, values, strict=True))

    def _tensors(self) -> dict[str, Tensor]:
        arrays: dict[str, npt.NDArray[Any]] = {"centroids": np.asarray(self.centroids, np.float64)}
        arrays |= {f"normaliser.{name}": array for name, array in self.normaliser.arrays().items()}
        if self.mixture is not None:
            arrays |= {
                "mixture.weights": self.mixture.weights,
                "mixture.covariances": self.mixture.covariances,
            }
        if self.reference is not None:
            arrays |= {f"reference.{name}": array for name, array in self.reference.arrays().items()}
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        network = with_prefix("network", self.network.state_dict())
        return {name: t.detach().to("cpu").contiguous() for name, t in (network | tensors).items()}

    def embed(self, windows: npt.NDArray[np.floating], *, precision: Precision = "float32") -> Float32:
        """Embedding (window, latent), float32, of stored windows (window, [plane,] frame, frequency).

        A window's embedding does not depend on the windows it comes with.

        Parameters
        ----------
        precision
            In which the layers before the last are computed.
        """
        # As many as are encoded at once: normalised windows then come from a core's cache.
        chunk = _chunk_of(self.network)
        parts = [
            embed_tensor(
                self.network,
                torch.from_numpy(self.normaliser.apply(windows[i : i + chunk])),
                precision=precision,
            )
            for i in range(0, len(windows), chunk)
        ]
        z_ND: Float32 = torch.cat(parts).numpy() if parts else np.zeros((0, self.spec.latent), np.float32)
        return z_ND

    def reconstruct(self, windows: npt.NDArray[np.floating]) -> tuple[Float32, Float32]:
        """Stored windows as the network sees them, and what it makes of their embeddings alone.

        Skip connections are zero, as for :meth:`prototypes`. Both have the shape of ``windows``.
        """
        given = self.normaliser.apply(windows)
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            x_NPTF = with_planes(torch.from_numpy(given)).to(device)
            made: Float32 = self.network.reconstruct_from_embedding(x_NPTF).cpu().numpy()
        return given, made.reshape(given.shape)

    def assign(self, z_ND: npt.NDArray[np.floating]) -> Assignment:
        """Cluster, confidence, distance and outlier score of each embedding (window, latent).

        See :meth:`scaledec.numerics.clusters.Clusters.assign`.

        Raises
        ------
        TrainingError
            If the model has no clusters.
        """
        if self.method == "autoencoder":
            raise TrainingError("this model is pretrained only and has no clusters; run the cluster stage")
        return self._clusters.assign(z_ND)

    def referring_to(self, z_ND: npt.NDArray[np.floating]) -> SavedModel:
        """The same model with the windows it was trained on, embeddings (window, latent), as reference."""
        return replace(self, reference=self._clusters.refer_to(z_ND))

    @property
    def _clusters(self) -> Clusters:
        spherical = self.method == "kmeans"
        return Clusters(self.centroids, self.alpha, self.mixture, spherical, self.reference)

    def prototypes(self) -> Float32:
        """What the network makes of each centroid: normalised windows (cluster, [plane,] frame, frequency).

        The axis of planes is there where the model has several. A network with skip connections has the
        centroid alone to go by: its skips are zero.
        """
        if not self.n_clusters:
            planes = (self.spec.planes,) if self.spec.planes > 1 else ()
            return np.zeros((0, *planes, self.spec.frames, self.spec.frequencies), np.float32)
        device = next(self.network.parameters()).device
        with torch.inference_mode():
            x = self.network.decode(torch.from_numpy(self.centroids).to(device, torch.float32))
        decoded: Float32 = (x if self.spec.planes > 1 else x[:, 0]).cpu().contiguous().numpy()
        return decoded


def _checksum(weights: bytes, description: Mapping[str, Any]) -> str:
    return hashlib.sha256(weights + json.dumps(description, sort_keys=True).encode()).hexdigest()


def _chunk_of(network: Autoencoder) -> int:
    return _CHUNK_GPU if next(network.parameters()).device.type == "cuda" else _CHUNK_CPU


def embed_tensor(network: Autoencoder, windows: Tensor, *, precision: Precision = "float32") -> Tensor:
    """Embedding (window, latent) of normalised windows (window, [plane,] frame, frequency), on the CPU.

    Runs on the network's device in chunks of one fixed size, so each window's result is independent of
    the others'. The network's mode (train or eval) is irrelevant: it has neither layers of dropout nor
    running statistics.

    Parameters
    ----------
    precision
        ``bfloat16``: layers before the last linear map work in it where the library finds that safe.
    """
    device = next(network.parameters()).device
    chunk, lower = _chunk_of(network), precision == "bfloat16"
    parts = [torch.empty((0, network.latent), device=device)]
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=lower):
        for start, x in _chunks(windows, chunk):
            n = min(chunk, len(windows) - start)
            parts.append(network.encode(with_planes(_sent(x, device)))[:n])
    return torch.cat(parts).cpu()


def _sent(x: Tensor, device: torch.device) -> Tensor:
    """Windows on the device; on their way to a GPU, the next ones are made ready."""
    if device.type == "cuda":
        # From page-locked memory the copy needs no processor, and the call returns before it is made.
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


def _chunks(windows: Tensor, size: int) -> Iterator[tuple[int, Tensor]]:
    """Runs of exactly ``size`` windows, the last one filled up with zeros."""
    for start in range(0, len(windows), size):
        part = windows[start : start + size]
        if len(part) < size:
            part = torch.cat([part, part.new_zeros((size - len(part), *part.shape[1:]))])
        yield start, part

"""Training and clustering as published code does them (RISCluster, of Jenkins et al. 2021), written anew.

What is as there: the network layer by layer (a decoder that ends at 95 x 101 and is cut), default memory
layout, Adam as it is by default, a ``DataLoader`` that collates window by window, losses fetched at each
step, and evaluation that runs the whole autoencoder with gradients recorded, result by result. What is left
out because it is not the method: TensorBoard's histograms of all weights and gradients at each step of
clustering, figures and progress bars. They cost the published code time that is not counted here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

__all__ = ["PublishedClustering", "PublishedNetwork", "PublishedTraining"]

_WIDTHS = (1, 8, 16, 32, 64, 128)
# (frequencies, frames): an 87 x 100 window ends at 3 x 3, and comes back as 95 x 101.
_DOWN = ((1, 1), (1, 1), (1, 1), (1, 1), (1, 0))
_UP = ((1, 0), (0, 1), (0, 1), (0, 0), (0, 1))
_CELLS, _LATENT = 128 * 3 * 3, 9
_GAMMA, _RATE = 1e-4, 1e-5


class PublishedNetwork(nn.Module):
    """The autoencoder of 218,250 parameters, for windows (n, 1, 87 frequencies, 100 frames)."""

    def __init__(self) -> None:
        super().__init__()
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for i, padding in enumerate(_DOWN):
            down += [nn.Conv2d(_WIDTHS[i], _WIDTHS[i + 1], 3, 2, padding), nn.ReLU(inplace=True)]
        for i, padding in enumerate(_UP):
            up += [nn.ConvTranspose2d(_WIDTHS[5 - i], _WIDTHS[4 - i], 3, 2, padding), nn.ReLU(inplace=True)]
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(_CELLS, _LATENT), nn.ReLU(inplace=True))
        self.from_latent = nn.Sequential(nn.Linear(_LATENT, _CELLS), nn.ReLU(inplace=True))
        self.decoder = nn.Sequential(*up[:-1])
        torch.manual_seed(0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.bias, 0.01)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction and embedding."""
        z = self.encoder(x)
        x_hat = self.decoder(self.from_latent(z).view(-1, 128, 3, 3))
        return x_hat[:, :, 4:-4, 1:], z


class _Indexed(Dataset[tuple[int, Tensor]]):
    """Windows one by one, each with its number."""

    def __init__(self, windows: Tensor) -> None:
        self._windows = _as_published(windows)

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        return index, self._windows[index]


class PublishedTraining:
    """Pretraining of the autoencoder; windows are (n, frame, frequency)."""

    def __init__(self, training: Tensor, validation: Tensor, *, batch: int) -> None:
        self._network = PublishedNetwork()
        self._optimiser = torch.optim.Adam(self._network.parameters(), 1e-3)
        self._training = DataLoader(_Indexed(training), batch, shuffle=True)
        self._validation = DataLoader(_Indexed(validation), batch)

    def epoch(self) -> None:
        """Train on all windows once and evaluate the held-out ones."""
        mse, total = nn.MSELoss(), 0.0
        self._network.train()
        for _, x in self._training:
            self._optimiser.zero_grad()
            x_hat, _ = self._network(x)
            loss = mse(x_hat, x)
            loss.backward()
            self._optimiser.step()
            total += loss.cpu().detach().numpy() * len(x)
        for _, x in self._validation:
            self._network.eval()
            with torch.no_grad():
                x_hat, _ = self._network(x)
                total += mse(x_hat, x).cpu().detach().numpy() * len(x)


class PublishedClustering:
    """Clustering with reconstruction: the N x K table of targets, made anew twice an epoch."""

    def __init__(self, windows: Tensor, *, batch: int, n_clusters: int) -> None:
        self._network = PublishedNetwork()
        with torch.no_grad():
            first = self._network(_as_published(windows[:n_clusters]))[1]
        self._centroids = nn.Parameter(first.clone())
        self._optimiser = torch.optim.Adam([*self._network.parameters(), self._centroids], _RATE)
        self._batches = DataLoader(_Indexed(windows), batch)
        self._shape = (len(windows), n_clusters)

    def epoch(self) -> None:
        """Train on all windows once, refreshing the target at the start and half-way."""
        mse, divergence = nn.MSELoss(), nn.KLDivLoss(reduction="sum")
        interval = -(-len(self._batches) // 2)
        done = 0
        totals = np.zeros(3)
        for step, (_, x) in enumerate(self._batches):
            if step % interval == 0:
                q, _ = self.infer_labels()
                target = _target(q)
            p = torch.from_numpy(target[done : done + len(x)])
            self._network.train()
            self._optimiser.zero_grad()
            x_hat, z = self._network(x)
            reconstruction = mse(x_hat, x)
            clustering = _GAMMA * divergence(torch.log(self._assign(z)), p) / len(x)
            loss = reconstruction + clustering
            loss.backward()
            self._optimiser.step()
            done += len(x)
            for i, value in enumerate((loss, reconstruction, clustering)):
                totals[i] += value.detach().cpu().numpy() * len(x)

    def infer_labels(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Soft assignments and labels of all windows: gradients are recorded and windows decoded."""
        self._network.eval()
        q = np.zeros(self._shape, np.float32)
        done = 0
        for _, x in self._batches:
            _, z = self._network(x)
            q[done : done + len(x)] = self._assign(z).detach().cpu().numpy()
            done += len(x)
        return np.round(q, 5), q.argmax(1)

    def embed(self) -> npt.NDArray[np.float32]:
        """Embedding of all windows, in the same way."""
        self._network.eval()
        z_all = np.zeros((self._shape[0], _LATENT), np.float32)
        done = 0
        for _, x in self._batches:
            _, z = self._network(x)
            z_all[done : done + len(x)] = z.detach().cpu().numpy()
            done += len(x)
        return z_all

    def _assign(self, z: Tensor) -> Tensor:
        squared = (z.unsqueeze(1) - self._centroids).square().sum(2)
        q = 1.0 / (1.0 + squared)
        return (q.t() / q.sum(1)).t()


def _as_published(windows: Tensor) -> Tensor:
    """(n, 1, frequency, frame): here frames come first, there frequencies."""
    return windows.transpose(1, 2).contiguous().unsqueeze(1)


def _target(q: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    p = q**2 / q.sum(0)
    rounded: npt.NDArray[np.float32] = np.round((p.T / p.sum(1)).T, 5)
    return rounded

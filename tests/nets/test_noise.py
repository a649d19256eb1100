"""What is dropped depends on the window and the epoch, on no batch, rank or generator."""

from __future__ import annotations

import torch

from scaledec.numerics.nets.noise import Noise, drop_channels

N = torch.arange(20_000)


def test_a_window_is_treated_alike_in_any_batch() -> None:
    whole = Noise(3, 5, N).kept(1, 8, rate=0.3)
    some = torch.tensor([19_999, 4, 4, 77])
    assert torch.equal(Noise(3, 5, some).kept(1, 8, rate=0.3), whole[some])


def test_the_share_dropped_is_the_rate_in_every_channel_and_pair_of_channels() -> None:
    for rate in (0.1, 0.5):
        kept = Noise(0, 0, N).kept(0, 6, rate=rate).double()
        # Four standard deviations of the mean of 20,000 draws.
        assert (kept.mean(0) - (1 - rate)).abs().max() < 4 * (rate * (1 - rate) / len(N)) ** 0.5
        correlation = torch.corrcoef(kept.T)
        assert (correlation - torch.eye(6)).abs().max() < 4 / len(N) ** 0.5


def test_seed_epoch_place_and_window_each_change_the_draw() -> None:
    reference = Noise(0, 0, N).kept(0, 1, rate=0.5).double()[:, 0]
    for other in (
        Noise(1, 0, N).kept(0, 1, rate=0.5),
        Noise(-1, 0, N).kept(0, 1, rate=0.5),
        Noise(2**63, 0, N).kept(0, 1, rate=0.5),
        Noise(0, 1, N).kept(0, 1, rate=0.5),
        Noise(0, 0, N).kept(1, 1, rate=0.5),
        Noise(0, 0, N).kept(-1, 1, rate=0.5),
        Noise(0, 0, N + 1).kept(0, 1, rate=0.5),
    ):
        correlation = torch.corrcoef(torch.stack([reference, other.double()[:, 0]]))[0, 1]
        assert abs(float(correlation)) < 4 / len(N) ** 0.5


def test_the_mixing_is_splitmix64() -> None:
    """The published stream from seed 1234567 (its first value is the mix of the seed itself)."""
    from scaledec.numerics.nets.noise import _mix

    assert int(_mix(torch.tensor([1234567]))) % 2**64 == 6457827717110365317


def test_means_stay_and_no_noise_drops_nothing() -> None:
    h = torch.ones(4000, 3, 2, 2)
    dropped = drop_channels(h, Noise(0, 0, torch.arange(4000)), 2, rate=0.25)
    torch.testing.assert_close(dropped[dropped != 0], torch.full_like(dropped[dropped != 0], 1 / 0.75))
    assert (dropped == dropped[:, :, :1, :1]).all(), "whole channels"
    assert abs(float(dropped.mean()) - 1) < 0.02
    assert drop_channels(h, None, 2, rate=0.25) is h
    assert drop_channels(h, Noise(0, 0, torch.arange(4000)), 2, rate=0.0) is h

"""Moves of windows: what they do to cells, and that nothing but the seed and the epoch decides them."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.ndimage import affine_transform

from scaledec.numerics.augment import Augmentation
from scaledec.training.data import Moved, TrainingData

NONE = Augmentation(shift_frames=0, shift_frequencies=0, rotation_deg=0, zoom=0)


def windows(n: int = 3, frames: int = 12, frequencies: int = 12) -> torch.Tensor:
    return torch.from_numpy(
        np.random.default_rng(0).normal(size=(n, 1, frames, frequencies)).astype(np.float32)
    )


def test_no_move_leaves_windows_as_they_are() -> None:
    x = windows(frames=9, frequencies=14)
    torch.testing.assert_close(NONE.apply(x, NONE.draw(3, seed=0, epoch=0)), x, atol=1e-5, rtol=0)


def test_a_shift_by_whole_cells_moves_cells_and_repeats_the_edge() -> None:
    x = windows(1, frames=10, frequencies=8)
    two_frames = torch.tensor([[[1.0, 0, 0], [0, 1.0, 2 * 2 / 10]]])
    moved = Augmentation.apply(x, two_frames)
    torch.testing.assert_close(moved[0, 0, :8], x[0, 0, 2:], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[0, 0, 8:], x[0, 0, [-1, -1]], atol=1e-5, rtol=0)


def test_a_turn_is_the_one_of_an_independent_implementation() -> None:
    x, angle = windows(1), math.radians(10)
    c, s = math.cos(angle), math.sin(angle)
    moved = Augmentation.apply(x, torch.tensor([[[c, -s, 0.0], [s, c, 0.0]]]))[0, 0].numpy()
    # There rows come first: the transpose of the same matrix, about the window's middle.
    matrix, middle = np.array([[c, s], [-s, c]]), np.full(2, 5.5)
    expected = affine_transform(x[0, 0].numpy(), matrix, middle - matrix @ middle, order=1, mode="nearest")
    inside = slice(2, -2)
    np.testing.assert_allclose(moved[inside, inside], expected[inside, inside], atol=1e-4)


def test_moves_stay_within_their_limits_and_fill_them() -> None:
    limits = Augmentation(shift_frames=0.2, shift_frequencies=0.05, rotation_deg=0, zoom=0)
    move = limits.draw(5000, seed=0, epoch=3).numpy()
    for row, limit in ((0, 0.05), (1, 0.2)):
        shift = move[:, row, 2] / 2
        assert np.abs(shift).max() <= limit + 1e-6
        np.testing.assert_allclose([shift.min(), shift.max()], [-limit, limit], rtol=0.01)
    zoom = Augmentation(0, 0, 0, zoom=0.25).draw(5000, seed=0, epoch=0).numpy()[:, 0, 0]
    np.testing.assert_allclose([zoom.min(), zoom.max()], [0.8, 1.25], rtol=0.01)


def test_every_epoch_draws_anew_and_the_same_again() -> None:
    draw = Augmentation().draw
    torch.testing.assert_close(draw(4, seed=1, epoch=2), draw(4, seed=1, epoch=2), rtol=0, atol=0)
    assert not torch.equal(draw(4, seed=1, epoch=2), draw(4, seed=1, epoch=3))
    assert not torch.equal(draw(4, seed=1, epoch=2), draw(4, seed=2, epoch=2))


def test_a_window_moves_the_same_on_whichever_rank_it_is() -> None:
    data = TrainingData(windows(7)[:, 0])

    def seen(world_size: int) -> dict[int, torch.Tensor]:
        moved = Moved.of(Augmentation(), 7, seed=0, epoch=0)
        return {
            int(at): x
            for rank in range(world_size)
            for batch in data.shuffled(batch=4, seed=0, epoch=0, rank=rank, world_size=world_size)
            for at, x in zip(batch.position, moved(batch), strict=True)
        }

    one, three = seen(1), seen(3)
    assert one.keys() == three.keys() == set(range(7))
    for at, x in one.items():
        torch.testing.assert_close(three[at], x, rtol=0, atol=1e-6)

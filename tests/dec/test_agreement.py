"""Metrics against values worked out by hand or by brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from scaledec.numerics.metrics import (
    adjusted_rand_index,
    contingency,
    disagreement_matrix,
    effective_clusters,
    hungarian_accuracy,
    label_change,
    normalised_mutual_information,
    roc_auc,
    transition_matrix,
)


def test_contingency_counts_each_pair() -> None:
    assert contingency(["a", "a", "b"], [1, 0, 0]).tolist() == [[1, 1], [1, 0]]


def test_accuracy_equals_the_best_of_all_matchings() -> None:
    rng = np.random.default_rng(0)
    truth, labels = rng.integers(0, 4, 300), rng.integers(0, 4, 300)
    best = max(np.mean(np.array(m)[labels] == truth) for m in itertools.permutations(range(4)))
    assert hungarian_accuracy(truth, labels) == pytest.approx(best)


def test_clusters_beyond_the_classes_count_as_wrong() -> None:
    assert hungarian_accuracy([0, 0, 1, 1], [0, 1, 2, 2]) == 0.75


def test_renamed_clusters_score_one() -> None:
    truth, labels = [0, 0, 1, 2], [2, 2, 0, 1]
    assert hungarian_accuracy(truth, labels) == 1.0
    assert normalised_mutual_information(truth, labels) == pytest.approx(1.0)
    assert adjusted_rand_index(truth, labels) == pytest.approx(1.0)


def test_independent_labels_score_nothing() -> None:
    truth, labels = [0, 0, 1, 1], [0, 1, 0, 1]
    assert normalised_mutual_information(truth, labels) == pytest.approx(0.0, abs=1e-12)
    assert adjusted_rand_index(truth, labels) <= 0.0


def test_roc_auc_is_the_chance_that_a_true_one_ranks_higher() -> None:
    assert roc_auc([True, False, True, False], [0.9, 0.8, 0.7, 0.1]) == pytest.approx(0.75)
    with pytest.raises(ValueError, match="needs both classes"):
        roc_auc([True, True], [0.1, 0.2])


def test_label_change_is_the_share_of_windows_that_moved() -> None:
    assert label_change([0, 1, 1, 2], [0, 1, 2, 2]) == 0.25


def test_effective_clusters_is_k_for_equal_shares_and_one_for_a_single_cluster() -> None:
    assert effective_clusters([5, 5, 5]) == pytest.approx(3.0)
    assert effective_clusters([9, 0, 0]) == 1.0
    assert effective_clusters([1, 3]) == pytest.approx(math.exp(0.25 * math.log(4) + 0.75 * math.log(4 / 3)))


@pytest.mark.parametrize("counts", [[0, 0], [-1, 2], [float("nan"), 1]])
def test_counts_that_are_no_shares_are_refused(counts: list[float]) -> None:
    with pytest.raises(ValueError, match="counts must be"):
        effective_clusters(counts)


def test_vectors_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="equally long"):
        label_change([0, 1], [0])


def test_transitions_count_windows_that_went_from_cluster_to_cluster_and_keep_empty_ones() -> None:
    before, after = [0, 0, 1, 3, -1, 1], [0, 1, 1, 0, 2, -1]
    assert transition_matrix(before, after, 4).tolist() == [
        [1, 1, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 0, 0],
    ]


def test_a_label_beyond_the_clusters_is_refused() -> None:
    with pytest.raises(ValueError, match="label 4 is none of 4 clusters"):
        transition_matrix([4, 0], [0, 0], 4)


def test_disagreement_sees_through_other_numbers_of_the_same_clusters() -> None:
    matrix = disagreement_matrix({"a": [0, 0, 1, 1], "b": [5, 5, 2, 2], "c": [0, 1, 1, 1]})
    np.testing.assert_allclose(matrix, [[0, 0, 0.25], [0, 0, 0.25], [0.25, 0.25, 0]])

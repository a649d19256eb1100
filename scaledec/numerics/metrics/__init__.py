"""Numbers that judge a clustering: against truth, against another clustering, and by itself."""

from scaledec.numerics.metrics.agreement import (
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
from scaledec.numerics.metrics.moments import (
    ClusterMoments,
    ClusterWidths,
    calinski_harabasz,
    davies_bouldin,
)
from scaledec.numerics.metrics.silhouette import sampled_silhouette, simplified_silhouette

__all__ = [
    "ClusterMoments",
    "ClusterWidths",
    "adjusted_rand_index",
    "calinski_harabasz",
    "contingency",
    "davies_bouldin",
    "disagreement_matrix",
    "effective_clusters",
    "hungarian_accuracy",
    "label_change",
    "normalised_mutual_information",
    "roc_auc",
    "sampled_silhouette",
    "simplified_silhouette",
    "transition_matrix",
]

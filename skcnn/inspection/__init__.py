"""Displays of networks and their predictions, in the style of scikit-learn's displays."""

from skcnn.inspection.curves import TrainingCurveDisplay
from skcnn.inspection.embedding import EmbeddingDisplay
from skcnn.inspection.feature_maps import FeatureMapDisplay
from skcnn.inspection.filters import FilterDisplay
from skcnn.inspection.prediction_grid import PredictionGridDisplay
from skcnn.inspection.saliency import saliency_maps
from skcnn.inspection.saliency_display import SaliencyDisplay

__all__ = [
    "EmbeddingDisplay",
    "FeatureMapDisplay",
    "FilterDisplay",
    "PredictionGridDisplay",
    "SaliencyDisplay",
    "TrainingCurveDisplay",
    "saliency_maps",
]

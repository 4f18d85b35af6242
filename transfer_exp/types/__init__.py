"""What the layers hand each other: feature sets, class statistics, results, and the errors a user sees."""

from transfer_exp.types.class_statistics import ClassStatistics, class_statistics
from transfer_exp.types.errors import InputError, NotApplicableError, suggestion
from transfer_exp.types.feature_set import (
    FeatureSet,
    check_features,
    check_source_probabilities,
    encode_labels,
)
from transfer_exp.types.model_facts import ModelFacts
from transfer_exp.types.moving_classes import MovingClasses, moving_classes
from transfer_exp.types.progress import Track, silent
from transfer_exp.types.results import CellResult, ModelResult
from transfer_exp.types.work import Work

__all__ = [
    "CellResult",
    "ClassStatistics",
    "FeatureSet",
    "InputError",
    "ModelFacts",
    "ModelResult",
    "MovingClasses",
    "NotApplicableError",
    "Track",
    "Work",
    "check_features",
    "check_source_probabilities",
    "class_statistics",
    "encode_labels",
    "moving_classes",
    "silent",
    "suggestion",
]

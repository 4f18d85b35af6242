"""The tests check shapes and types in the packages that compute with arrays; the type checker covers the others."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from transfer_exp.evaluation.null_band import null_band
from transfer_exp.metric.metric import ModelFacts
from transfer_exp.statistics.discriminant import mean_true_posterior


def test_a_wrong_type_without_shapes_is_an_error():
    with pytest.raises(TypeCheckError):
        null_band("14")


def test_a_wrong_shape_is_an_error():
    with pytest.raises(TypeCheckError):
        mean_true_posterior(np.ones(4), np.zeros(4, dtype=np.int64))
    with pytest.raises(TypeCheckError):
        mean_true_posterior(np.ones((4, 2)), np.zeros((4, 1), dtype=np.int64))


def test_a_wrong_field_of_a_dataclass_is_an_error():
    with pytest.raises(TypeCheckError):
        ModelFacts(name=3)

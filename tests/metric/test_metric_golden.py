"""Metrics equal the authors' released code on synthetic and real features."""

import numpy as np
import pytest
from conftest import GOLDEN_CASES, golden_case, inputs_for

from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.h_score import HScore, RegularisedHScore
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.nce import NCE
from transfer_exp.metric.ncm import NCM
from transfer_exp.metric.nleep import NLEEP
from transfer_exp.metric.parc import PARC
from transfer_exp.metric.sfda import SFDAReleased
from transfer_exp.metric.transrate import TransRate
from transfer_exp.perturbation.pca import pca

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("case", GOLDEN_CASES)]


def score_on(metric, arrays):
    """Return the score of a metric on the features or source probabilities of a golden case."""
    values = arrays["source_probabilities" if "source_probabilities" in metric.inputs else "features"]
    return metric(*inputs_for(metric, values, arrays["labels"]))


@pytest.mark.parametrize(
    ("metric", "key"),
    [
        (LogME(), "logme"),
        (LogME(), "logme_thuml"),
        (SFDAReleased(), "sfda"),
        (HScore(), "h_score"),
        (RegularisedHScore(), "regularized_h_score"),
        (TransRate(convention="tllib"), "transrate"),
        (NCM(), "lda_release"),
        (LEEP(), "leep"),
        (NCE(), "nce"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_score_equals_the_released_code(metric, key, case):
    arrays, expected = golden_case(case)
    assert score_on(metric, arrays) == pytest.approx(expected[key], rel=1e-6)


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
def test_gbc_equals_the_released_code_to_float32_precision(covariance, case):
    arrays, expected = golden_case(case)
    # The release sums in float32, and its values below 1e-38 have fewer digits still.
    assert score_on(GBC(covariance), arrays) == pytest.approx(expected[f"gbc_{covariance}"], rel=1e-4, abs=1e-40)


def test_knn_equals_the_released_percentage(case):
    arrays, expected = golden_case(case)
    assert 100 * score_on(KNN(k=1), arrays) == pytest.approx(expected["knn1_loo"], rel=1e-9)


@pytest.mark.parametrize(("key", "dim"), [("parc", None), ("parc_pca32", 32)])
def test_parc_equals_the_released_code_where_label_correlations_are_exact(key, dim, case):
    arrays, expected = golden_case(case)
    features = arrays["features"].astype(float)
    score = 100 * PARC()(features if dim is None else pca(features, dim), arrays["labels"])
    # One-hot labels of 4 and of 8 classes correlate exactly. Otherwise the release ranks their rounding errors.
    is_exact = len(np.unique(arrays["labels"])) in (4, 8)
    assert score == pytest.approx(expected[key], rel=1e-9 if is_exact else 0.06)


def test_nleep_is_within_the_variation_of_the_released_mixture(case):
    arrays, expected = golden_case(case)
    metric = NLEEP(components_per_class=1, convention="released")
    assert score_on(metric, arrays) == pytest.approx(expected["nleep_ratio1"], abs=0.02)

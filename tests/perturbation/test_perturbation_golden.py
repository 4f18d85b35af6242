"""Perturbations, and metrics of perturbed features, equal the authors' released code."""

import numpy as np
import pytest

# A metric is applied here too: few golden values belong to a perturbation, many to a metric after it.
from conftest import GOLDEN_CASES, golden_case, on_samples

from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.ncm import NCM
from transfer_exp.metric.sfda import SFDAReleased
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.mixup_means import MixupMeans
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.ped import Ped
from transfer_exp.perturbation.released import Released, SecondRelease, gate_opens
from transfer_exp.perturbation.spread import Spread
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.discriminant import adaptive_shrinkage, fitted_posterior

pytestmark = pytest.mark.slow

logme_of = on_samples(LogME())
RELEASED_ATTRACT = Attract(alpha=0.1, sigma=0.6, sign="released", clamp=False, normalise=False)


@pytest.fixture(params=GOLDEN_CASES)
def golden(request):
    return golden_case(request.param)


def perturb(perturbation, arrays):
    return perturbation(arrays["features"], arrays["labels"], np.random.default_rng(0))


def test_the_gate_opens_where_the_released_gate_does(golden):
    arrays, expected = golden
    assert gate_opens(arrays["features"].astype(np.float64)) == expected["sa_gate"]


@pytest.mark.parametrize("alpha", [0.005, 0.1])
def test_scores_after_the_released_pipeline_equal_the_released_code(golden, alpha):
    arrays, expected = golden
    features = perturb(Released(alpha=alpha), arrays)
    for metric, key in ((logme_of, "LOGME"), (SFDAReleased(), "SFDA"), (NCM(), "LDA")):
        score = expected["sa_release"][f"alpha={alpha},{key}"]
        assert metric(features, arrays["labels"]) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("alpha", [0.005, 0.1])
def test_scores_after_the_second_release_equal_its_code(golden, alpha):
    arrays, expected = golden
    features, labels = perturb(SecondRelease(alpha=alpha), arrays), arrays["labels"]
    expected = {key: expected["sa_release_2"][f"alpha={alpha},{key}"] for key in ("LOGME", "SFDA", "LDA", "GBC")}
    for metric, key in ((logme_of, "LOGME"), (SFDAReleased(), "SFDA"), (NCM(), "LDA")):
        assert metric(features, labels) == pytest.approx(expected[key], rel=1e-6)
    # The release sums the variances in float32.
    assert on_samples(GBC())(features, labels) == pytest.approx(expected["GBC"], rel=1e-4, abs=1e-40)


def test_the_second_release_moves_every_class_by_minus_the_displacement_of_the_first(golden):
    arrays, expected = golden
    if not expected["sa_gate"]:
        return  # The first release leaves the features as they are.
    reduced, first, second = (perturb(p, arrays) for p in (Pca(64), Released(), SecondRelease()))
    np.testing.assert_allclose(second - reduced, reduced - first, rtol=1e-9, atol=1e-9)


def test_scores_after_pca_equal_the_released_code(golden):
    arrays, expected = golden
    reduced = perturb(Pca(64), arrays)
    assert logme_of(reduced, arrays["labels"]) == pytest.approx(expected["pca64_logme"], rel=1e-6)
    assert SFDAReleased()(reduced, arrays["labels"]) == pytest.approx(expected["pca64_sfda"], rel=1e-6)


def test_spread_and_attract_equal_the_released_functions(golden):
    arrays, expected = golden
    labels = arrays["labels"]
    spread, attracted = perturb(Spread(force=1.0), arrays), perturb(RELEASED_ATTRACT, arrays)
    both = RELEASED_ATTRACT(spread, labels, np.random.default_rng(0))
    np.testing.assert_allclose(spread[:5], arrays["spread_force1_first5"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(attracted[:5], arrays["attract_release_alpha0.1_first5"], rtol=1e-6, atol=1e-12)
    assert logme_of(spread, labels) == pytest.approx(expected["spread_force1_logme"], rel=1e-6)
    assert logme_of(attracted, labels) == pytest.approx(expected["attract_release_logme"], rel=1e-6)
    assert logme_of(both, labels) == pytest.approx(expected["spread_attract_release_sign_logme"], rel=1e-6)


def test_scores_after_ped_equal_the_released_code(golden):
    arrays, expected = golden
    # The reference set of these values is the features in reverse order, with the same mean and deviation.
    features = perturb(Ped(sigma=2.0), arrays)
    assert logme_of(features, arrays["labels"]) == pytest.approx(expected["ped"]["LOGME"], rel=1e-6)
    assert SFDAReleased()(features, arrays["labels"]) == pytest.approx(expected["ped"]["SFDA"], rel=1e-6)


def test_mixup_means_reproduces_the_features_that_sfda_scores(golden):
    arrays, expected = golden
    features, labels = arrays["features"].astype(np.float64), arrays["labels"]
    mixed = perturb(MixupMeans(), arrays)
    centred = mixed - mixed.mean(axis=0)
    shrinkage = adaptive_shrinkage(class_statistics(features, labels))
    posterior = fitted_posterior(centred, class_statistics(centred, labels), shrinkage)
    assert posterior[np.arange(len(labels)), labels].mean() == pytest.approx(expected["sfda"], rel=1e-6)

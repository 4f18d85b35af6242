"""Every perturbation, and the metrics after it, against what the released code returns."""

import json
from pathlib import Path

import numpy as np
import pytest

# Tests stand above the layers: a perturbation alone has few golden values, followed by a metric it has many.
from conftest import on_samples

from transfer_exp.metric.logme import LogME
from transfer_exp.metric.ncm import NCM
from transfer_exp.metric.sfda_released import SFDAReleased
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.mixup_means import MixupMeans
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.ped import Ped
from transfer_exp.perturbation.released import Released, gate_opens
from transfer_exp.perturbation.spread import Spread
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.statistics.discriminant import adaptive_shrinkage, fitted_posterior

logme_of = on_samples(LogME())

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
CASES = ["separable", "imbalanced", "wide", "signed", "digits", "real_textures", "real_oracle"]
RELEASED_ATTRACT = Attract(alpha=0.1, sigma=0.6, sign="released", clamp=False, normalise=False)

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden values (../shared/golden) are not here")


@pytest.fixture(params=CASES)
def golden(request):
    """Return the arrays of a case and its expected scores."""
    with np.load(GOLDEN / f"{request.param}.npz", allow_pickle=False) as arrays:
        return dict(arrays), json.loads((GOLDEN / "expected.json").read_text())[request.param]["scores"]


def perturbed(perturbation, arrays):
    return perturbation(arrays["features"], arrays["labels"], np.random.default_rng(0))


def test_gate(golden):
    arrays, expected = golden
    assert gate_opens(arrays["features"].astype(np.float64)) == expected["sa_gate"]


@pytest.mark.parametrize("alpha", [0.005, 0.1])
def test_released_end_to_end(golden, alpha):
    arrays, expected = golden
    features = perturbed(Released(alpha=alpha), arrays)
    for metric, key in ((logme_of, "LOGME"), (SFDAReleased(), "SFDA"), (NCM(), "LDA")):
        score = expected["sa_release"][f"alpha={alpha},{key}"]
        assert metric(features, arrays["labels"]) == pytest.approx(score, rel=1e-6)


def test_pca(golden):
    arrays, expected = golden
    reduced = perturbed(Pca(64), arrays)
    assert logme_of(reduced, arrays["labels"]) == pytest.approx(expected["pca64_logme"], rel=1e-6)
    assert SFDAReleased()(reduced, arrays["labels"]) == pytest.approx(expected["pca64_sfda"], rel=1e-6)


def test_spread_and_released_attract(golden):
    arrays, expected = golden
    labels = arrays["labels"]
    wide, moved = perturbed(Spread(force=1.0), arrays), perturbed(RELEASED_ATTRACT, arrays)
    both = RELEASED_ATTRACT(wide, labels, np.random.default_rng(0))
    np.testing.assert_allclose(wide[:5], arrays["spread_force1_first5"], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(moved[:5], arrays["attract_release_alpha0.1_first5"], rtol=1e-6, atol=1e-12)
    assert logme_of(wide, labels) == pytest.approx(expected["spread_force1_logme"], rel=1e-6)
    assert logme_of(moved, labels) == pytest.approx(expected["attract_release_logme"], rel=1e-6)
    assert logme_of(both, labels) == pytest.approx(expected["spread_attract_release_sign_logme"], rel=1e-6)


def test_ped(golden):
    arrays, expected = golden
    # The reference set of these values is the features in reverse order, whose mean and deviation are their own.
    features = perturbed(Ped(sigma=2.0), arrays)
    assert logme_of(features, arrays["labels"]) == pytest.approx(expected["ped"]["LOGME"], rel=1e-6)
    assert SFDAReleased()(features, arrays["labels"]) == pytest.approx(expected["ped"]["SFDA"], rel=1e-6)


def test_mixup_means_is_what_sfda_scores(golden):
    arrays, expected = golden
    features, labels = arrays["features"].astype(np.float64), arrays["labels"]
    moved = perturbed(MixupMeans(), arrays)
    shrinkage = adaptive_shrinkage(class_statistics(features, labels))
    second = fitted_posterior(
        moved - moved.mean(axis=0), class_statistics(moved - moved.mean(axis=0), labels), shrinkage
    )
    assert second[np.arange(len(labels)), labels].mean() == pytest.approx(expected["sfda"], rel=1e-6)

"""Sequences of perturbations, built in code, by the configuration and by Hydra."""

from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.dropout import Dropout
from transfer_exp.perturbation.gaussian_noise import GaussianNoise
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.sequence import Sequence
from transfer_exp.perturbation.spread import Spread
from transfer_exp.perturbation.spread_attract import SpreadAttract

OPTION = Path(__file__).parents[2] / "conf" / "perturbation" / "sequence.yaml"
SEQUENCE = "transfer_exp.perturbation.sequence.Sequence"
NOISE = "transfer_exp.perturbation.gaussian_noise.GaussianNoise"
LABELS = np.repeat(np.arange(5), 20)
FEATURES = np.random.default_rng(0).standard_normal((100, 70)) + 3 * np.eye(5, 70)[LABELS]


def perturb(perturbation, seed=3):
    return perturbation(FEATURES, LABELS, np.random.default_rng(seed))


def test_pca_then_spread_then_attract_is_spread_attract():
    np.testing.assert_array_equal(perturb(Sequence((Pca(), Spread(), Attract()))), perturb(SpreadAttract()))


def test_order_matters_and_no_perturbation_has_no_effect():
    assert not np.allclose(
        perturb(Sequence((Spread(5.0), Dropout(0.5)))), perturb(Sequence((Dropout(0.5), Spread(5.0))))
    )
    np.testing.assert_array_equal(perturb(Sequence((NoPerturbation(), Spread()))), perturb(Spread()))


def test_steps_share_one_generator_in_order():
    rng = np.random.default_rng(3)
    expected = Dropout(0.3)(GaussianNoise()(FEATURES, LABELS, rng), LABELS, rng)
    np.testing.assert_array_equal(perturb(Sequence((GaussianNoise(), Dropout(0.3)))), expected)


def test_sequences_can_be_nested_and_hashed():
    nested = Sequence([Pca(), Sequence([Spread(), Attract()])])
    np.testing.assert_array_equal(perturb(nested), perturb(SpreadAttract()))
    assert hash(nested) == hash(Sequence((Pca(), Sequence((Spread(), Attract())))))
    assert "Attract(alpha=0.1" in repr(nested), "the repr shows the options"


@pytest.mark.parametrize("steps", [(), (Spread(), 3), "pca", None])
def test_steps_that_are_not_perturbations_are_rejected(steps, monkeypatch):
    # Outside the tests, types are not enforced by jaxtyping.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(InputError, match=r"perturbation\.steps=.*: need a list of perturbations"):
        Sequence(steps)


@pytest.mark.parametrize("build_option", [instantiate, lambda c: build("perturbation", OmegaConf.to_container(c))])
def test_hydra_and_the_builder_give_the_same_sequence(build_option):
    config = OmegaConf.load(OPTION)
    config.steps[0].dim = 16
    config.steps.append({"_target_": SEQUENCE, "steps": [{"_target_": NOISE, "strength": 0.5}]})
    assert build_option(config) == Sequence((Pca(16), Spread(), Sequence((GaussianNoise(0.5),))))

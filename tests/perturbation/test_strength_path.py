"""Steps of a strength path, the mean score along it, and invalid paths."""

from pathlib import Path

import numpy as np
import pytest
from conftest import wrong_types
from omegaconf import OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.spread import Spread
from transfer_exp.perturbation.strength_path import StrengthPath

OPTION = Path(__file__).parents[2] / "conf" / "perturbation" / "path.yaml"


def test_the_config_option_equals_the_default():
    assert build("perturbation", OmegaConf.to_container(OmegaConf.load(OPTION))) == StrengthPath()


def test_steps_apply_the_perturbation_at_each_strength():
    path = StrengthPath(Spread(force_scale="radius"), "force", (0.0, 0.5, 2.0))
    expected = {f"force={f:g}": Spread(f, "radius") for f in (0.0, 0.5, 2.0)}
    assert path.steps() == expected
    assert list(StrengthPath().steps().values())[-1] == Attract(alpha=0.4)


def test_the_mean_is_the_area_under_the_curve_over_its_width():
    path = StrengthPath(strengths=(0.0, 1.0, 4.0))
    curves = np.array([[0.0, 2.0], [1.0, 2.0], [4.0, 2.0]])
    np.testing.assert_allclose(path.average(curves), [np.trapezoid([0, 1, 4], [0, 1, 4]) / 4, 2.0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"field": "alfa"}, "did you mean alpha"),
        ({"strengths": (0.1,)}, "increasing"),
        ({"strengths": (0.2, 0.1)}, "increasing"),
        ({"strengths": (0.1, 0.1)}, "increasing"),
    ],
)
def test_an_invalid_path_is_rejected(options, message):
    with pytest.raises(InputError, match=message):
        StrengthPath(**options)


@pytest.mark.parametrize("option", ["perturbation", "field", "strengths"])
def test_values_of_wrong_types_are_refused_by_name(untyped, option):
    for value in (*wrong_types(StrengthPath(), option), ["a", "b"]):
        with pytest.raises(InputError, match=rf"^perturbation\.{option}=.*: need "):
            StrengthPath(**{option: value})

"""A path: its steps, the mean along it, and what it refuses."""

from pathlib import Path as FilePath

import numpy as np
import pytest
from omegaconf import OmegaConf

from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.path import Path
from transfer_exp.perturbation.spread import Spread

OPTION = FilePath(__file__).parents[2] / "conf" / "perturbation" / "path.yaml"


def test_the_option_is_the_default():
    assert build("perturbation", OmegaConf.to_container(OmegaConf.load(OPTION))) == Path()


def test_steps_are_the_perturbation_at_each_strength():
    path = Path(Spread(force_scale="radius"), "force", (0.0, 0.5, 2.0))
    expected = {f"force={f:g}": Spread(f, "radius") for f in (0.0, 0.5, 2.0)}
    assert path.steps() == expected
    assert list(Path().steps().values())[-1] == Attract(alpha=0.4)


def test_the_mean_is_the_area_under_the_curve_over_its_width():
    path = Path(strengths=(0.0, 1.0, 4.0))
    curves = np.array([[0.0, 2.0], [1.0, 2.0], [4.0, 2.0]])
    np.testing.assert_allclose(path.average(curves), [np.trapezoid([0, 1, 4], [0, 1, 4]) / 4, 2.0])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"field": "alfa"}, "did you mean alpha"),
        ({"strengths": (0.1,)}, "increasing"),
        ({"strengths": (0.2, 0.1)}, "increasing"),
        ({"strengths": (0.1, 0.1)}, "increasing"),
    ],
)
def test_what_is_no_path_is_refused(options, words):
    with pytest.raises(InputError, match=words):
        Path(**options)

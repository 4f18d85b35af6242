"""Every metric against what the authors' released code returns on real and made data."""

import json
from pathlib import Path

import numpy as np
import pytest

from transfer_exp.metric.h_score import HScore
from transfer_exp.metric.leep import LEEP
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.nce import NCE
from transfer_exp.metric.ncm import NCM
from transfer_exp.metric.sfda import SFDA

GOLDEN = Path(__file__).parents[3] / "shared" / "golden"
CASES = ["separable", "imbalanced", "wide", "signed", "digits", "real_textures", "real_oracle"]

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason="golden values (../shared/golden) are not here")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("metric", "key"),
    [
        (LogME(), "logme"),
        (LogME(), "logme_thuml"),
        (SFDA(), "sfda"),
        (HScore(), "h_score"),
        (NCM(), "lda_release"),
        (LEEP(), "leep"),
        (NCE(), "nce"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_equals_the_released_code(metric, key, case):
    expected = json.loads((GOLDEN / "expected.json").read_text())[case]["scores"][key]
    with np.load(GOLDEN / f"{case}.npz", allow_pickle=False) as arrays:
        assert metric(arrays[metric.inputs[0]], arrays["labels"]) == pytest.approx(expected, rel=1e-6)

"""Fit a calibration to pools with ground-truth accuracies, and write it as a row of the file of calibrations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from jaxtyping import Float
from scipy.optimize import nnls

from transfer_exp.errors import InputError
from transfer_exp.evaluation.correlation import PerModel
from transfer_exp.evaluation.expected_accuracy import (
    Calibration,
    CalibrationKey,
    ScoredPool,
    angle,
    mean_anchor_angle,
    regression_columns,
)


def fit_calibration(pools: Sequence[ScoredPool], accuracies: Sequence[Float[np.ndarray, " _"]]) -> Calibration:
    """Fit a calibration to pools with ground-truth accuracies.

    Non-negative least squares fits the slopes, with equal weights for all models; ``shift`` weights all datasets alike.

    Args:
        pools: One scored pool per dataset, two or more; all with anchors or all without.
        accuracies: Accuracies of the models of each pool, (M,), in [0, 1].

    Raises:
        InputError: When there are fewer than two datasets, accuracies are out of range or do not match the pool, only
            some datasets have anchors, or the models are too few to estimate their spread.
    """
    if len(pools) < 2 or len(pools) != len(accuracies):
        raise InputError(f"cannot calibrate on {len(pools)} datasets with {len(accuracies)} accuracies: give two each")
    if len({pool.anchors is None for pool in pools}) > 1:
        raise InputError("some datasets have anchors and some have none: give anchors of all, or of none")
    angles = [_accuracy_angles(pool, values) for pool, values in zip(pools, accuracies, strict=True)]
    designs = [regression_columns(pool) for pool in pools]
    # The columns are centred within datasets, so the mean of a dataset does not influence the slopes.
    slopes, _ = nnls(np.concatenate(designs), np.concatenate(angles))
    residuals = [y - mean_anchor_angle(pool) - x @ slopes for y, pool, x in zip(angles, pools, designs, strict=True)]
    means = np.array([values.mean() for values in residuals])
    model_df = sum(len(values) - 1 for values in residuals) - len(slopes)
    if model_df < 1:
        raise InputError("too few models to estimate their spread: calibrate on more models or datasets")
    return Calibration(
        shift=float(means.mean()),
        anchor_slope=None if pools[0].anchors is None else float(slopes[0]),
        score_slope=float(slopes[-1]),
        dataset_std=float(means.std(ddof=1) * np.sqrt(1 + 1 / len(means))),
        dataset_df=len(means) - 1,
        model_std=float(np.sqrt(sum(((values - values.mean()) ** 2).sum() for values in residuals) / model_df)),
        model_df=model_df,
    )


def as_row(key: CalibrationKey, calibration: Calibration) -> list[str | int | float | None]:
    """Return a calibration as a row of the file, with five digits: the parameters are far less accurate."""
    numbers = asdict(calibration)
    return [*key, *(v if v is None or isinstance(v, int) else float(f"{v:.5g}") for v in numbers.values())]


def _accuracy_angles(pool: ScoredPool, accuracies: np.ndarray) -> PerModel:
    """Check the range and number of accuracies, and return their angles."""
    if accuracies.shape != pool.scores.shape or not ((accuracies >= 0) & (accuracies <= 1)).all():
        raise InputError(f"need accuracies in [0, 1] of the {len(pool.scores)} models of each pool: correct them")
    return angle(accuracies, pool.classes)

"""What fine-tuning only the models with the best scores is expected to cost."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from transfer_exp.errors import InputError
from transfer_exp.evaluation.expected_accuracy import Calibration, Scored, accuracy_at, predicted_angles


def expected_regrets(
    calibration: Calibration, pool: Scored, draws: int = 2000, seed: int = 0
) -> Float[np.ndarray, " models"]:
    """Return the best accuracy of the pool minus the best among its top k scores, expected, for k = 1 to M.

    Accuracies are drawn from the calibrated distribution: one error of the dataset for all models (Student's t), and
    one of each model (normal, independent). Equal scores are put in an order by lot in every draw.

    Parameters
    ----------
    calibration, pool
        As in `expected_accuracies`.
    draws, seed
        How many sets of accuracies are drawn, and from which seed; the result is a mean over them.

    Returns
    -------
    ndarray
        (M,), in [0, 1], never rising with k; the last is 0.

    Raises
    ------
    InputError
        As `predicted_angles`, and without a draw.
    """
    if draws < 1:
        raise InputError(f"draws={draws}: draw at least once")
    rng = np.random.default_rng(seed)
    shape = draws, len(pool.scores)
    of_dataset = calibration.between * rng.standard_t(calibration.between_df, (draws, 1))
    angles = predicted_angles(calibration, pool) + of_dataset + calibration.within * rng.standard_normal(shape)
    # Without ties there is one order for all draws, and sorting is most of the work.
    lots = rng.random(shape if len(np.unique(pool.scores)) < len(pool.scores) else (1, len(pool.scores)))
    order = np.lexsort((lots, np.broadcast_to(-pool.scores, lots.shape)), axis=1)
    in_order = np.take_along_axis(accuracy_at(angles, pool.classes), order, axis=1)
    found = np.maximum.accumulate(in_order, axis=1)
    return np.asarray((found[:, -1:] - found).mean(axis=0))

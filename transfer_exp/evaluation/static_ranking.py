"""What the accuracies alone say: the ranking by mean rank on other targets, which has not looked at this one."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.metric.static_rank import StaticRank


def tau_of_static_rank(
    accuracies: Float[np.ndarray, " models"], elsewhere: Float[np.ndarray, "targets models"]
) -> float:
    """Return the weighted tau of `StaticRank` with the accuracies on a target.

    Parameters
    ----------
    accuracies
        (M,), on the target.
    elsewhere
        (T, M), on the others, NaN where there is none; a target counts if it has an accuracy of every model.

    Raises
    ------
    NotApplicableError
        When a model has no accuracy elsewhere.
    InputError
        As `StaticRank.combine` and `weighted_tau`.
    """
    metric = StaticRank()
    known = [{str(at): float(column[at]) for at in np.flatnonzero(np.isfinite(column))} for column in elsewhere.T]
    return weighted_tau(metric.combine([metric.parts(part) for part in known]), accuracies)

"""Recommended metric: the one that stored evidence chooses for the default, at present `linear_classifier`."""

from __future__ import annotations

from dataclasses import dataclass

from transfer_exp.metric.linear_classifier import LinearClassifier


@dataclass(frozen=True)
class Recommended(LinearClassifier):
    """The metric that leave-one-group-out selection chooses, at present `linear_classifier`, on raw features.

    The procedure is ``python -m studies.recommendation``. Of all metrics after all perturbations, on 23 real networks
    and on the built-in pool, it takes the fastest one whose mean weighted tau is within 0.02 of the best. The choice is
    judged on targets that did not choose it. ``docs/results/recommendation.md`` has the rows, costs and paired tests.
    Use it with ``perturbation=none``.
    """

    name = "recommended"
    source = "chosen by this project's study of the default; see `linear_classifier`"
    chosen = LinearClassifier.name

"""The recommended metric is a second name of the metric that the study of the default chooses."""

from dataclasses import fields

import numpy as np

from transfer_exp.metric.linear_classifier import LinearClassifier, Recommended


def test_it_computes_the_chosen_metric_with_its_options():
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    features = rng.normal(size=(40, 6)) + rng.normal(size=(4, 6))[labels]
    assert Recommended.chosen == LinearClassifier.name
    assert Recommended(penalty=3.0)(features, labels) == LinearClassifier(penalty=3.0)(features, labels)
    assert [f.name for f in fields(Recommended)] == [f.name for f in fields(LinearClassifier)]

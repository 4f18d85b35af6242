"""Baselines rank by ranks elsewhere, size, published accuracy or chance, and match the published tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from transfer_exp.errors import InputError, NotApplicableError
from transfer_exp.evaluation.correlation import weighted_tau
from transfer_exp.metric.imagenet_accuracy import ImagenetAccuracy
from transfer_exp.metric.metric import ModelFacts
from transfer_exp.metric.parameter_count import ParameterCount
from transfer_exp.metric.random import Random
from transfer_exp.metric.static_rank import StaticRank

PUBLISHED = Path(__file__).parents[3] / "shared" / "published"


def test_static_rank_is_the_mean_rank_on_targets_with_accuracies_of_all_models():
    parts = [{"a": 0.9, "b": 0.2, "c": 0.5}, {"a": 0.8, "b": 0.4}, {"a": 0.1, "b": 0.4, "c": 0.7}]
    np.testing.assert_allclose(StaticRank().combine(parts), [-2.0, -1.75, -2.25])
    assert StaticRank().combine([]).shape == (0,)
    with pytest.raises(InputError, match="every model"):
        StaticRank().combine([{"a": 0.9}, {"b": 0.9}])
    with pytest.raises(NotApplicableError, match="another target"):
        StaticRank().parts({})


@pytest.mark.assets
@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="needs the published tables in ../shared/published")
@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("enhancing_TE_group1_supervised_cnn11", {"vanilla_ft": 0.837, "last_block_ft": 0.707, "linear_ft": 0.616}),
        ("enhancing_TE_group2_ssl_resnet50_12", {"vanilla_ft": 0.685, "last_block_ft": 0.482, "linear_ft": 0.789}),
    ],
)
def test_static_rank_reaches_the_documented_correlations_on_the_published_tables(table, expected):
    rows = pd.read_csv(PUBLISHED / f"{table}.csv")
    for regime, mean in expected.items():
        wide = rows[rows["regime"] == regime].pivot_table(index="model", columns="dataset", values="accuracy")
        taus = []
        for target in wide:
            elsewhere = [StaticRank().parts(dict(row)) for _, row in wide.drop(columns=target).iterrows()]
            taus.append(weighted_tau(StaticRank().combine(elsewhere), wide[target].to_numpy()))
        assert np.mean(taus) == pytest.approx(mean, abs=5e-4)


def test_parameter_count_needs_a_network():
    assert ParameterCount()(ModelFacts("net", parameters=25)) == 25.0
    with pytest.raises(NotApplicableError, match="no network"):
        ParameterCount()(ModelFacts("net"))


def test_random_scores_depend_only_on_the_seed():
    np.testing.assert_array_equal(Random(5).combine([{}] * 4), Random(5).combine([{}] * 4))
    assert not np.array_equal(Random(5).combine([{}] * 4), Random(6).combine([{}] * 4))
    with pytest.raises(InputError, match="seed=-1"):
        Random(-1).combine([{}])


def test_imagenet_accuracy_comes_from_the_pool_or_from_the_table_of_timm(tmp_path):
    table = tmp_path / "results-imagenet.csv"
    table.write_text(
        "model,img_size,top1,top1_err,param_count\n"
        "resnet18.a1_in1k,224,71.49,28.51,11.69\nresnet50.a1_in1k,224,80.2,19.8,25.56\nresnet50.tv_in1k,224,76.1,23.9,25.56\n"
    )
    metric = ImagenetAccuracy(str(table))
    assert metric(ModelFacts("resnet18")) == metric(ModelFacts("resnet18.a1_in1k")) == pytest.approx(0.7149)
    assert metric(ModelFacts("resnet50.tv_in1k", imagenet_accuracy=0.5)) == pytest.approx(0.761)
    assert ImagenetAccuracy()(ModelFacts("net", imagenet_accuracy=0.7)) == 0.7
    # A name without a weights tag is ambiguous if two rows have it.
    with pytest.raises(NotApplicableError, match="no row"):
        metric(ModelFacts("resnet50"))
    with pytest.raises(NotApplicableError, match=r"metric\.table"):
        ImagenetAccuracy()(ModelFacts("net"))


@pytest.mark.parametrize("content", [None, "model,top5\na,90\n", "model,top1\na,high\n", "model,top1\na,901\n"])
def test_a_missing_or_invalid_table_is_rejected(content, tmp_path):
    table = tmp_path / "table.csv"
    if content is not None:
        table.write_text(content)
    with pytest.raises(InputError, match=r"metric\.table"):
        ImagenetAccuracy(str(table))(ModelFacts("a"))

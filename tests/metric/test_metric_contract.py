"""Contract of every metric: all classes of the package and all options of conf/metric."""

import inspect
import pkgutil
from dataclasses import fields, make_dataclass
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import inputs_for, wrong_types
from omegaconf import OmegaConf

import transfer_exp.metric
from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError, check_types
from transfer_exp.metric.etran import ETran
from transfer_exp.metric.gbc import GBC
from transfer_exp.metric.itm import ITM
from transfer_exp.metric.metric import Metric, PoolMetric
from transfer_exp.metric.nleep import NLEEP
from transfer_exp.metric.parc import PARC
from transfer_exp.metric.sfda import SFDA, DebiasedSFDA, SFDAReleased
from transfer_exp.metric.transrate import TransRate
from transfer_exp.statistics.memory import check_memory

CONF = Path(__file__).parents[2] / "conf" / "metric"
MODULES = [import_module(f"transfer_exp.metric.{m.name}") for m in pkgutil.iter_modules(transfer_exp.metric.__path__)]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and isinstance(getattr(kind, "name", None), str)
]
INPUTS = {"features", "labels", "source_probabilities", "class_statistics", "model", "accuracies_elsewhere", "dataset"}
NETWORK_INPUTS = {"weights", "source_set"}
NEED_TWO_SAMPLES_PER_CLASS = {"gbc", "tmi"}
# It uses labels as numbers, so the names of the classes matter.
READS_LABELS_AS_NUMBERS = {"logme_regression"}
# It is larger for spread within classes, so shuffled labels score higher.
PREFERS_SPREAD = {"tmi"}
# It counts directions of the class means, of which shuffled labels may have as many.
COUNTS_DIRECTIONS = {"lidar"}
# A scale of the features at which these metrics depend on it.
SENSITIVE_SCALE = {"ncti": 0.3, "logme_regression": 1e3}
# These are fitted in each test, and the contract also holds after fewer steps and with fewer components.
FEWER_STEPS = {"itm": ITM(steps=50), "nleep": NLEEP(components_per_class=2)}
# These need a file of the user. Separate tests provide one.
NEED_A_FILE = {"learned_fusion"}
ALL = [pytest.param(kind(), id=kind.name) for kind in CLASSES]
METRICS = [p for p in ALL if {"features", "class_statistics", "source_probabilities"} & set(p.values[0].inputs)]
METRICS = [pytest.param(FEWER_STEPS.get(p.id, p.values[0]), id=p.id) for p in METRICS if p.id not in NEED_A_FILE]
# Metrics that also read the network or its source images have tests of their own.
METRICS = [p for p in METRICS if not NETWORK_INPUTS & set(p.values[0].inputs)]
LABELLED_METRICS = [p for p in METRICS if {"labels", "class_statistics"} & set(p.values[0].inputs)]
SOURCE_METRICS = [p for p in METRICS if "source_probabilities" in p.values[0].inputs]
FEATURE_METRICS = [p for p in METRICS if p not in SOURCE_METRICS]


def inputs_of(metric, samples=150, dim=12, seed=0):
    """Return values and labels with a clear but imperfect signal about three uneven classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, samples, p=[0.5, 0.3, 0.2])
    values = rng.standard_normal((samples, dim)) + 1.2 * rng.standard_normal((3, dim))[labels]
    if "source_probabilities" not in metric.inputs:
        return values, labels
    return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True), labels


def parts_of(metric, values, labels):
    """Return the parts of a pool metric, or the score of any other metric as its only part."""
    inputs = inputs_for(metric, values, labels)
    return metric.parts(*inputs) if isinstance(metric, PoolMetric) else {"score": metric(*inputs)}


def scores(metric, models):
    """Return the scores of a pool of models, each given by its values and labels."""
    parts = [parts_of(metric, *model) for model in models]
    return metric.combine(parts) if isinstance(metric, PoolMetric) else np.array([p["score"] for p in parts])


def transformed(values, invariance):
    """Apply one map of the kind that an invariance names."""
    rng = np.random.default_rng(7)
    dim = values.shape[1]
    rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0]
    return {
        "rotation": lambda: values @ rotation,
        "translation": lambda: values + 3 * rng.standard_normal(dim),
        "scaling": lambda: 1.7 * values,
        "affine": lambda: values @ (rotation * np.linspace(0.5, 2, dim)) @ rotation + rng.standard_normal(dim),
        "source_permutation": lambda: values[:, rng.permutation(dim)],
    }[invariance]()


def test_every_metric_has_an_option_of_its_name():
    assert {kind.name for kind in CLASSES} == {path.stem for path in CONF.glob("*.yaml")}
    assert len(CLASSES) >= 40


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
def test_option_builds_the_defaults(path):
    option = OmegaConf.create({"seed": 0, "metric": OmegaConf.load(path)})
    metric = build("metric", OmegaConf.to_container(option, resolve=True)["metric"])
    assert metric.name == path.stem
    assert metric == type(metric)()
    assert len(path.read_text().splitlines()) <= 12


@pytest.mark.parametrize("metric", ALL)
def test_facts_are_declared(metric):
    assert metric.source
    assert isinstance(metric.lower, float)
    assert metric.lower < metric.upper
    assert set(metric.inputs) <= INPUTS | NETWORK_INPUTS
    assert hash(metric) == hash(type(metric)())
    assert isinstance(metric, Metric) != isinstance(metric, PoolMetric)
    call = metric.parts if isinstance(metric, PoolMetric) else getattr(metric, "formula", metric)
    parameters = tuple(inspect.signature(call).parameters)
    inputs = tuple(name.removeprefix("class_") if hasattr(metric, "formula") else name for name in metric.inputs)
    assert parameters[: len(inputs)] == inputs or parameters == ("inputs",)
    assert parameters == ("inputs",) or not hasattr(metric, "formula") or set(vars(metric)) <= set(parameters)


# Paths and names of the user, of which any text may be right.
FREE_TEXT = {"embeddings", "table", "rows", "perturbation"}
NUMBERS = ["three", -1, float("nan"), float("inf"), None]
OPTIONS_OF_METRICS = [
    pytest.param(kind, field.name, id=f"{kind.name}.{field.name}")
    for kind in CLASSES
    for field in fields(kind)
    if field.name not in FREE_TEXT
]


def impossible_values(value):
    """Return values that an option with this default must refuse."""
    return {bool: ["maybe", 2], str: ["impossible", 1], tuple: [[], [1]]}.get(type(value), NUMBERS)


@pytest.mark.parametrize(("kind", "option"), OPTIONS_OF_METRICS)
def test_every_option_refuses_impossible_values_by_name(kind, option):
    target = f"{kind.__module__}.{kind.__qualname__}"
    for value in impossible_values(getattr(kind(), option)):
        with pytest.raises(InputError, match=rf"^metric\.{option}\S*=.*: need "):
            build("metric", {"_target_": target, option: value})


@pytest.mark.parametrize(
    ("kind", "option"),
    [pytest.param(kind, field.name, id=f"{kind.name}.{field.name}") for kind in CLASSES for field in fields(kind)],
)
def test_every_option_refuses_values_of_wrong_types_in_python_too(untyped, kind, option):
    for value in wrong_types(kind(), option):
        with pytest.raises(InputError, match=rf"^metric\.{option}=.*: need "):
            kind(**{option: value})


@pytest.mark.parametrize(
    ("kind", "option"),
    [pytest.param(k, f.name, id=f"{k.name}.{f.name}") for k in CLASSES for f in fields(k) if f.type == "int"],
)
def test_every_option_that_counts_refuses_fractions_in_python_too(untyped, kind, option):
    with pytest.raises(InputError, match=rf"^metric\.{option}=\d+\.5: need a whole number$"):
        kind(**{option: getattr(kind(), option) + 0.5})


@pytest.mark.parametrize("annotation", [int, "int"])
def test_counts_are_checked_with_and_without_postponed_annotations(annotation):
    kind = make_dataclass("Example", [("k", annotation, 1)])
    check_types("metric", kind(np.int64(2)))
    for value, given in ((1.5, "1\\.5"), ("1", "'1'"), (None, "null"), (True, "true")):
        with pytest.raises(InputError, match=rf"^metric\.k={given}: need a whole number$"):
            check_types("metric", kind(value))


@pytest.mark.parametrize("annotation", [int | None, "int | None"])
def test_options_that_may_be_null_are_checked_too(annotation):
    kind = make_dataclass("Example", [("k", annotation, 1)])
    check_types("metric", kind(None))
    with pytest.raises(InputError, match=r"^metric\.k='all': need a whole number, or null$"):
        check_types("metric", kind("all"))


@pytest.mark.parametrize(
    "options",
    [
        {"_target_": "transfer_exp.metric.effective_rank.AlphaReQ", "first": 20, "last": 20},
        {"_target_": "transfer_exp.metric.etran.ETran", "energy_weight": 0.5, "regression_weight": 0.6},
    ],
)
def test_options_that_do_not_fit_each_other_are_refused_by_name(options):
    with pytest.raises(InputError, match=rf"^metric\.{list(options)[2]}=.*: need .* metric\.{list(options)[1]}"):
        build("metric", options)


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", METRICS)
def test_score_is_a_finite_float_in_range_and_the_input_is_unchanged(metric, shape):
    values, labels = inputs_of(metric, *shape)
    original = values.copy(), labels.copy()
    assert {type(value) for value in parts_of(metric, values, labels).values()} == {float}
    score = scores(metric, [(values, labels)])
    assert np.isfinite(score).all()
    assert (metric.lower <= score).all()
    assert (score <= metric.upper).all()
    np.testing.assert_array_equal(values, original[0])
    np.testing.assert_array_equal(labels, original[1])


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", METRICS)
def test_sample_order_and_class_names_do_not_matter(metric, shape):
    values, labels = inputs_of(metric, *shape)
    expected = pytest.approx(parts_of(metric, values, labels), rel=1e-6)
    order = np.random.default_rng(1).permutation(len(labels))
    assert parts_of(metric, values[order], labels[order]) == expected
    renamed = parts_of(metric, values, np.array([70, -3, 9])[labels])
    assert (renamed == expected) == (metric.name not in READS_LABELS_AS_NUMBERS)


@pytest.mark.parametrize("invariance", ["rotation", "translation", "scaling", "affine"])
@pytest.mark.parametrize("metric", FEATURE_METRICS)
def test_exactly_the_declared_invariances_hold(metric, invariance):
    values, labels = inputs_of(metric)
    values = SENSITIVE_SCALE.get(metric.name, 1.0) * values
    expected = pytest.approx(parts_of(metric, values, labels), rel=1e-9)
    is_invariant = parts_of(metric, transformed(values, invariance), labels) == expected
    assert is_invariant == (invariance in metric.invariances)


OPTIONS = [
    GBC("diagonal"),
    TransRate("tllib"),
    NLEEP(components_per_class=2, convention="released"),
    DebiasedSFDA(shrinkage="ledoit_wolf"),
    ETran(classifier="ncm"),
]


@pytest.mark.parametrize("invariance", ["rotation", "translation", "scaling", "affine"])
@pytest.mark.parametrize("metric", OPTIONS, ids=repr)
def test_exactly_the_invariances_of_an_option_hold(metric, invariance):
    test_exactly_the_declared_invariances_hold(metric, invariance)


@pytest.mark.parametrize("metric", SOURCE_METRICS)
def test_order_of_source_classes_does_not_matter(metric):
    values, labels = inputs_of(metric)
    assert "source_permutation" in metric.invariances
    expected = pytest.approx(parts_of(metric, values, labels), rel=1e-9)
    assert parts_of(metric, transformed(values, "source_permutation"), labels) == expected


@pytest.mark.parametrize("metric", [p for p in LABELLED_METRICS if p.values[0].name not in COUNTS_DIRECTIONS])
def test_real_labels_score_higher_than_shuffled_labels(metric):
    values, labels = inputs_of(metric)
    shuffled = [(values, np.random.default_rng(s).permutation(labels)) for s in range(5)]
    real, *chance = scores(metric, [(values, labels), *shuffled])
    assert real < min(chance) if metric.name in PREFERS_SPREAD else real > max(chance)


@pytest.mark.parametrize("metric", [p for p in METRICS if isinstance(p.values[0], PoolMetric)])
def test_a_pool_can_be_permuted_have_equal_models_or_one_model(metric):
    models = [inputs_of(metric, seed=seed) for seed in range(4)]
    expected = scores(metric, models)
    np.testing.assert_allclose(scores(metric, models[::-1]), expected[::-1], rtol=1e-9, atol=1e-12)
    assert len(set(expected)) > 1
    equals = scores(metric, [models[0]] * 3)
    assert np.isfinite(equals).all()
    assert np.ptp(equals) == 0
    assert np.isfinite(scores(metric, models[:1])).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("metric", METRICS)
def test_lower_precision_is_accepted(metric, dtype):
    values, labels = inputs_of(metric)
    expected = pytest.approx(parts_of(metric, values, labels), rel=0.05)
    assert parts_of(metric, values.astype(dtype), labels.astype(np.int32)) == expected


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", FEATURE_METRICS)
def test_score_is_in_range_at_any_scale(metric, shape, scale):
    values, labels = inputs_of(metric, *shape)
    assert np.isfinite(list(parts_of(metric, scale * values, labels).values())).all()
    score = scores(metric, [(scale * values, labels), inputs_of(metric)])
    assert np.isfinite(score).all()
    assert (metric.lower <= score).all()
    assert (score <= metric.upper).all()


@pytest.mark.parametrize("metric", METRICS)
def test_small_classes_duplicates_and_zero_dimensions_are_accepted_or_rejected_by_name(metric):
    values, labels = inputs_of(metric)
    values = np.concatenate([values[:20], values[:20], values[20:22]])
    labels = np.concatenate([labels[:20], labels[:20], [17, 18]])
    values = np.concatenate([values, np.zeros((len(values), 3))], axis=1)
    if metric.name in NEED_TWO_SAMPLES_PER_CLASS:
        with pytest.raises(InputError, match="one sample"):
            parts_of(metric, values, labels)
        values, labels = values[:40], labels[:40]
    assert np.isfinite(list(parts_of(metric, values, labels).values())).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "dim", "classes"), [(300, 1024, 10), (320, 32, 64)], ids=["1024 dimensions", "64 classes"]
)
@pytest.mark.parametrize("metric", METRICS)
def test_wide_networks_and_many_classes_are_accepted(metric, samples, dim, classes):
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % classes
    values = np.maximum(rng.standard_normal((samples, dim)) + rng.standard_normal((classes, dim))[labels], 0)
    if "source_probabilities" in metric.inputs:
        values = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    metric = type(metric)(components_per_class=1) if metric.name == "nleep" else metric
    real, chance = scores(metric, [(values, labels), (values, rng.permutation(labels))])
    assert np.isfinite([real, chance]).all()
    # With N < D some metrics saturate, but none may prefer shuffled labels.
    assert metric.name in PREFERS_SPREAD | COUNTS_DIRECTIONS or real >= chance - 1e-9


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("metric", METRICS)
def test_invalid_values_are_rejected(metric):
    values, labels = inputs_of(metric)
    with_nan = values.copy()
    with_nan[3, 1] = np.nan
    invalid = {
        "flat": values.ravel(),
        "NaN": with_nan,
        "infinity": np.where(np.isnan(with_nan), np.inf, with_nan),
        "text": values.astype(str),
        "no dimension": values[:, :0],
    }
    for name, argument in invalid.items():
        with pytest.raises(InputError) as error:
            parts_of(metric, argument, labels)
        assert "\n" not in str(error.value), name


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("metric", LABELLED_METRICS)
def test_invalid_labels_are_rejected(metric):
    values, labels = inputs_of(metric)
    invalid = {
        "one class": (values, np.zeros_like(labels)),
        "lengths": (values, labels[:-1]),
        "labels 2-d": (values, labels[:, None]),
        "float labels": (values, labels.astype(float)),
        "empty": (values[:0], labels[:0]),
    }
    for name, arguments in invalid.items():
        with pytest.raises(InputError) as error:
            parts_of(metric, *arguments)
        assert "\n" not in str(error.value), name


@pytest.mark.parametrize("metric", [SFDA(), SFDAReleased(), DebiasedSFDA(), PARC()], ids=repr)
def test_more_memory_than_there_is_is_refused_before_it_is_taken(metric, monkeypatch):
    monkeypatch.setattr("transfer_exp.statistics.memory.available_memory", lambda: 10**9)
    labels = np.arange(40_000) % 10_000
    with pytest.raises(InputError, match=r"needs \d+\.\d GB of memory .*, and 1\.0 GB are free: score fewer images"):
        metric(np.zeros((40_000, 2)), labels)


def test_the_memory_that_is_needed_differs_from_the_memory_that_is_free(monkeypatch):
    monkeypatch.setattr("transfer_exp.statistics.memory.available_memory", lambda: 990_000_000)
    with pytest.raises(InputError, match=r"needs 1\.00 GB of memory .*, and 0\.99 GB are free"):
        check_memory("sfda", 1.25e8)

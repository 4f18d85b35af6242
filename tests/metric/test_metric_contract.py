"""What every metric owes, over all classes of the package and all options of conf/metric."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import transfer_exp.metric
from transfer_exp.types import InputError

CONF = Path(__file__).parents[2] / "conf" / "metric"
MODULES = [import_module(f"transfer_exp.metric.{m.name}") for m in pkgutil.iter_modules(transfer_exp.metric.__path__)]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and isinstance(getattr(kind, "name", None), str)
]
METRICS = [pytest.param(kind(), id=kind.name) for kind in CLASSES]
NEED_TWO_SAMPLES_PER_CLASS = {"gbc"}
FEATURE_METRICS = [p for p in METRICS if p.values[0].inputs == ("features",)]


def inputs_of(metric, samples=150, dim=12, seed=0):
    """Return what the metric scores, carrying a clear but imperfect signal about three uneven classes."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, samples, p=[0.5, 0.3, 0.2])
    values = rng.standard_normal((samples, dim)) + 1.2 * rng.standard_normal((3, dim))[labels]
    if metric.inputs == ("features",):
        return values, labels
    return np.exp(values) / np.exp(values).sum(axis=1, keepdims=True), labels


def mapped(values, invariance):
    """Apply one fixed map of the kind that an invariance names."""
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


@pytest.fixture
def untyped():
    """Turn shape checking off, as it is outside the tests: the package's own checks must then refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def test_every_metric_has_an_option_of_its_name():
    assert {kind.name for kind in CLASSES} == {path.stem for path in CONF.glob("*.yaml")}
    assert len(CLASSES) >= 7


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda p: p.stem)
def test_option_instantiates_to_the_defaults(path):
    metric = instantiate(OmegaConf.load(path))
    assert metric.name == path.stem
    assert metric == type(metric)()
    assert len(path.read_text().splitlines()) <= 12


@pytest.mark.parametrize("metric", METRICS)
def test_facts_are_declared(metric):
    assert metric.source
    assert isinstance(metric.lower, float)
    assert metric.lower < metric.upper
    assert metric.inputs in {("features",), ("source_probabilities",)}
    assert hash(metric) == hash(type(metric)())
    first_parameter = next(iter(inspect.signature(metric).parameters))
    assert first_parameter == metric.inputs[0]


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", METRICS)
def test_score_is_a_finite_float_in_range_and_leaves_its_input(metric, shape):
    values, labels = inputs_of(metric, *shape)
    kept = values.copy(), labels.copy()
    score = metric(values, labels)
    assert type(score) is float
    assert np.isfinite(score)
    assert metric.lower <= score <= metric.upper
    np.testing.assert_array_equal(values, kept[0])
    np.testing.assert_array_equal(labels, kept[1])


@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", METRICS)
def test_sample_order_and_class_names_are_irrelevant(metric, shape):
    values, labels = inputs_of(metric, *shape)
    score = metric(values, labels)
    order = np.random.default_rng(1).permutation(len(labels))
    assert metric(values[order], labels[order]) == pytest.approx(score, rel=1e-6)
    assert metric(values, np.array([70, -3, 9])[labels]) == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("invariance", ["rotation", "translation", "scaling", "affine"])
@pytest.mark.parametrize("metric", FEATURE_METRICS)
def test_declared_invariances_hold_and_no_others(metric, invariance):
    values, labels = inputs_of(metric)
    same = metric(mapped(values, invariance), labels) == pytest.approx(metric(values, labels), rel=1e-9)
    assert same == (invariance in metric.invariances)


@pytest.mark.parametrize("metric", [p for p in METRICS if p not in FEATURE_METRICS])
def test_source_classes_may_be_renamed(metric):
    values, labels = inputs_of(metric)
    assert "source_permutation" in metric.invariances
    assert metric(mapped(values, "source_permutation"), labels) == pytest.approx(metric(values, labels), rel=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_real_labels_beat_shuffled_labels(metric):
    values, labels = inputs_of(metric)
    shuffled = [metric(values, np.random.default_rng(s).permutation(labels)) for s in range(5)]
    assert metric(values, labels) > max(shuffled)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("metric", METRICS)
def test_lower_precision_is_accepted(metric, dtype):
    values, labels = inputs_of(metric)
    assert metric(values.astype(dtype), labels.astype(np.int32)) == pytest.approx(metric(values, labels), rel=0.05)


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e3, 1e8])
@pytest.mark.parametrize("shape", [(150, 12), (40, 90)], ids=["tall", "wide"])
@pytest.mark.parametrize("metric", FEATURE_METRICS)
def test_any_scale_gives_a_number_in_range(metric, shape, scale):
    values, labels = inputs_of(metric, *shape)
    score = metric(scale * values, labels)
    assert np.isfinite(score)
    assert metric.lower <= score <= metric.upper


@pytest.mark.parametrize("metric", METRICS)
def test_one_sample_classes_duplicates_and_dead_dimensions_are_no_obstacle_or_named(metric):
    values, labels = inputs_of(metric)
    values = np.concatenate([values[:20], values[:20], values[20:22]])
    labels = np.concatenate([labels[:20], labels[:20], [17, 18]])
    values = np.concatenate([values, np.zeros((len(values), 3))], axis=1)
    if metric.name in NEED_TWO_SAMPLES_PER_CLASS:
        with pytest.raises(InputError, match="one sample"):
            metric(values, labels)
        values, labels = values[:40], labels[:40]
    assert np.isfinite(metric(values, labels))


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("metric", METRICS)
def test_bad_input_is_refused(metric):
    values, labels = inputs_of(metric)
    holed = values.copy()
    holed[3, 1] = np.nan
    bad = {
        "one class": (values, np.zeros_like(labels)),
        "flat": (values.ravel(), labels),
        "lengths": (values, labels[:-1]),
        "labels 2-d": (values, labels[:, None]),
        "NaN": (holed, labels),
        "infinity": (np.where(np.isnan(holed), np.inf, holed), labels),
        "float labels": (values, labels.astype(float)),
        "text": (values.astype(str), labels),
        "empty": (values[:0], labels[:0]),
        "no dimension": (values[:, :0], labels),
    }
    for name, arguments in bad.items():
        with pytest.raises(InputError) as caught:
            metric(*arguments)
        assert "\n" not in str(caught.value), name

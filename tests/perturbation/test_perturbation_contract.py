"""Contract of every perturbation: all classes of the package and all options of conf/perturbation."""

import dataclasses
import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from conftest import wrong_types
from omegaconf import OmegaConf

import transfer_exp.perturbation
from transfer_exp.cli.instantiate import build
from transfer_exp.errors import InputError
from transfer_exp.perturbation.pca import pca

CONF = Path(__file__).parents[2] / "conf" / "perturbation"
MODULES = [
    import_module(f"transfer_exp.perturbation.{m.name}")
    for m in pkgutil.iter_modules(transfer_exp.perturbation.__path__)
]
CLASSES = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, inspect.isclass)
    if kind.__module__ == module.__name__ and isinstance(getattr(kind, "name", None), str)
]
OPTIONS = [path for path in CONF.glob("*.yaml") if path.stem != "path"]
"""Every option except the strength path, which is a list of perturbations rather than a map of features."""
CLASSES = [kind for kind in CLASSES if kind.name != "path"]
PERTURBATIONS = [pytest.param(kind(), id=kind.name) for kind in CLASSES]
NEEDS_SCATTER = {"mixup_means"}
STRENGTHS = {"force", "alpha", "strength", "rate", "time_step"}
SHAPES = pytest.mark.parametrize("shape", [(120, 10), (50, 80)], ids=["tall", "wide"])


def labelled(samples=120, dim=10, scale=4.0):
    """Return features that open the gate, and labels of four uneven classes, one with a single sample."""
    rng = np.random.default_rng(0)
    labels = np.concatenate([rng.choice(3, samples - 1, p=[0.5, 0.3, 0.2]), [8]])
    return scale * (rng.standard_normal((samples, dim)) + rng.standard_normal((9, dim))[labels]), labels


def generator():
    return np.random.default_rng(11)


class Reordered(np.random.Generator):
    """A generator that gives sample k the values that `generator` gives to sample ``order[k]``."""

    def __init__(self, order):
        super().__init__(generator().bit_generator)
        self.order = order

    def standard_normal(self, size):
        return super().standard_normal(size)[self.order]

    def random(self, size):
        return super().random(size)[self.order]


def steps_of(perturbation):
    """Return the steps of a sequence; any other perturbation is a single step."""
    return getattr(perturbation, "steps", (perturbation,))


def at_zero_strength(perturbation):
    names = {field.name for field in dataclasses.fields(perturbation)}
    options = dict.fromkeys(names & STRENGTHS, 0.0)
    if "steps" in names:
        options["steps"] = tuple(map(at_zero_strength, perturbation.steps))
    return dataclasses.replace(perturbation, **options)


@pytest.mark.parametrize(
    ("kind", "option"),
    [pytest.param(k, f.name, id=f"{k.name}.{f.name}") for k in CLASSES for f in dataclasses.fields(k)],
)
def test_every_option_refuses_values_of_wrong_types_by_name(untyped, kind, option):
    for value in wrong_types(kind(), option):
        with pytest.raises(InputError, match=rf"^perturbation\.{option}=.*: need "):
            kind(**{option: value})


def test_every_perturbation_has_an_option_of_its_name():
    assert {kind.name for kind in CLASSES} == {path.stem for path in OPTIONS}
    assert len(CLASSES) >= 6


@pytest.mark.parametrize("path", sorted(OPTIONS), ids=lambda p: p.stem)
def test_option_instantiates_to_the_defaults(path):
    perturbation = build("perturbation", OmegaConf.to_container(OmegaConf.load(path)))
    assert perturbation.name == path.stem
    assert perturbation == type(perturbation)()
    assert perturbation.source
    assert len(path.read_text().splitlines()) <= 12


@SHAPES
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_output_is_finite_float64_with_one_row_per_sample_and_the_input_is_unchanged(perturbation, shape):
    features, labels = labelled(*shape)
    original = features.copy(), labels.copy()
    perturbed = perturbation(features, labels, generator())
    assert perturbed.dtype == np.float64
    assert len(perturbed) == len(features)
    assert 1 <= perturbed.shape[1] <= features.shape[1]
    assert np.isfinite(perturbed).all()
    assert not np.shares_memory(perturbed, features)
    np.testing.assert_array_equal(features, original[0])
    np.testing.assert_array_equal(labels, original[1])


@SHAPES
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_same_seed_gives_the_same_output(perturbation, shape):
    first, second = (perturbation(*labelled(*shape), generator()) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@SHAPES
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_zero_strength_is_the_identity_or_the_initial_pca(perturbation, shape):
    features, labels = labelled(*shape)
    expected = features
    for step in steps_of(perturbation):
        expected = pca(expected, step.dim) if hasattr(step, "dim") else expected
    np.testing.assert_array_equal(at_zero_strength(perturbation)(features, labels, generator()), expected)


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_sample_order_and_class_names_are_irrelevant(perturbation):
    features, labels = labelled()
    perturbed = perturbation(features, labels, generator())
    order = np.random.default_rng(1).permutation(len(labels))
    reordered = perturbation(features[order], labels[order], Reordered(order))
    np.testing.assert_allclose(reordered, perturbed[order], rtol=1e-9)
    np.testing.assert_allclose(perturbation(features, 100 - 3 * labels, generator()), perturbed, rtol=1e-9)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_a_number_out_of_range_is_refused_before_any_features(perturbation):
    for field in dataclasses.fields(perturbation):
        value = getattr(perturbation, field.name)
        if type(value) in (int, float):
            with pytest.raises(InputError, match=rf"^perturbation\.{field.name}=-1: need "):
                dataclasses.replace(perturbation, **{field.name: -1})


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@SHAPES
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_output_is_finite_at_any_scale(perturbation, shape, scale):
    assert np.isfinite(perturbation(*labelled(*shape, scale=scale), generator())).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int16])
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_any_real_type_is_accepted_and_float64_is_returned(perturbation, dtype):
    features, labels = labelled()
    assert perturbation(features.astype(dtype), labels, generator()).dtype == np.float64


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
@pytest.mark.parametrize("features", [np.zeros((20, 5)), np.full((20, 5), 0.1)], ids=["zero", "constant"])
def test_equal_samples_stay_equal(perturbation, features):
    equal_draws = Reordered(np.zeros(20, dtype=int))
    if perturbation.name in NEEDS_SCATTER:
        with pytest.raises(InputError, match="every sample equals its class mean"):
            perturbation(features, np.arange(20) % 3, equal_draws)
        return
    perturbed = perturbation(features, np.arange(20) % 3, equal_draws)
    np.testing.assert_allclose(perturbed - perturbed[0], 0.0, atol=1e-12)


@pytest.mark.usefixtures("untyped")
@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_invalid_input_is_rejected(perturbation):
    features, labels = labelled()
    with_nan = np.where(features == features[4, 2], np.nan, features)
    for invalid in [(with_nan, labels), (features[0], labels), (features, labels[1:]), (features, labels * 0)]:
        with pytest.raises(InputError):
            perturbation(*invalid, generator())
    for field in dataclasses.fields(perturbation):
        invalid = {"str": "sideways"}.get(type(getattr(perturbation, field.name)).__name__, -1)
        if isinstance(getattr(perturbation, field.name), bool):
            continue
        with pytest.raises(InputError, match=field.name):
            dataclasses.replace(perturbation, **{field.name: invalid})(features, labels, generator())

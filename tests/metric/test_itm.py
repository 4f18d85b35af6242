"""ITM: its forward pass and gradients equal the reference, its training is the same in distribution."""

import numpy as np
import pytest
from conftest import golden_case

from transfer_exp.errors import InputError
from transfer_exp.metric.itm import TwoLayers, itm

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("rounds", [1, 3])
def test_forward_pass_and_gradients_equal_the_reference(rounds):
    arrays, expected = golden_case("itm_forward")
    expected = expected[f"m={rounds}"]
    layers = TwoLayers([arrays[key].copy() for key in ("W", "b", "L", "l")], 0.5, rounds)
    targets = np.eye(4)[arrays["labels"]]
    np.testing.assert_allclose(layers.logits(arrays["x"], targets), expected["logits"], rtol=1e-10)
    first, _, second, _ = layers.gradients(arrays["x"], targets)
    np.testing.assert_allclose(first, expected["grad_W"], rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(second, expected["grad_L"], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("parameter", range(4))
def test_gradients_are_those_of_the_loss_where_the_flow_is_off(parameter):
    rng = np.random.default_rng(0)
    points, targets = rng.standard_normal((20, 5)), np.eye(3)[np.arange(20) % 3]
    layers = TwoLayers([rng.standard_normal(shape) for shape in ((3, 5), (3,), (3, 3), (3,))], 0.0)

    def loss():
        logits = layers.logits(points, targets)
        return float((np.log(np.exp(logits).sum(axis=1)) - (logits * targets).sum(axis=1)).mean())

    value = layers.parameters[parameter]
    at = (1,) * value.ndim
    gradient, original = layers.gradients(points, targets)[parameter][at], value[at]
    value[at] = original + 1e-6
    above = loss()
    value[at] = original - 1e-6
    assert (above - loss()) / 2e-6 == pytest.approx(gradient, rel=1e-5, abs=1e-9)


def test_a_step_is_that_of_torch():
    torch = pytest.importorskip("torch")
    arrays, _ = golden_case("itm_forward")
    layers = TwoLayers([arrays[key].copy() for key in ("W", "b", "L", "l")], 0.5)
    targets = np.eye(4)[arrays["labels"]]
    tensors = [torch.tensor(p, requires_grad=True) for p in layers.parameters]
    optimiser = torch.optim.AdamW(tensors, lr=0.005, weight_decay=0.01)
    for _ in range(3):
        for tensor, gradient in zip(tensors, layers.gradients(arrays["x"], targets), strict=True):
            tensor.grad = torch.tensor(gradient)
        optimiser.step()
        layers.update(arrays["x"], targets, 0.005)
        for tensor, parameter in zip(tensors, layers.parameters, strict=True):
            np.testing.assert_allclose(parameter, tensor.detach().numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", ["digits", "wide", "singleton"])
def test_accuracy_is_that_of_the_reference_in_distribution(case):
    arrays, expected = golden_case(case)
    reference = expected["itm"]
    ours = [itm(arrays["features"], arrays["labels"], seed=seed) for seed in range(5)]
    # Four standard errors of the difference of two means of five, and one held-out sample.
    error = np.sqrt((np.var(ours, ddof=1) + reference["sd"] ** 2) / 5)
    assert abs(np.mean(ours) - reference["mean"]) < 4 * error + 1 / reference["validation_images"]


def test_accuracy_is_one_for_separated_classes_and_chance_for_noise():
    labels = np.arange(200) % 4
    noise = np.random.default_rng(0).standard_normal((200, 6))
    assert itm(10 * np.eye(4, 6)[labels] + noise, labels) == 1.0
    assert itm(noise, labels) < 0.6
    assert itm(np.ones((200, 6)), labels) < 0.6


def test_score_is_repeatable_and_depends_on_the_seed():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    features = rng.standard_normal((60, 5)) + 0.7 * rng.standard_normal((3, 5))[labels]
    scores = [itm(features, labels, steps=50, seed=seed) for seed in range(5)]
    assert len(set(scores)) > 1
    assert itm(features, labels, steps=50, seed=1) == scores[1]


def test_invalid_options_and_too_few_samples_are_rejected():
    features, labels = np.eye(6), np.arange(6) % 2
    for options, message in (
        ({"steps": 0}, "steps=0 of itm"),
        ({"coefficient": -1.0}, "coefficient=-1.0"),
        ({"coefficient": np.nan}, "coefficient=nan"),
    ):
        with pytest.raises(InputError, match=message):
            itm(features, labels, **options)
    with pytest.raises(InputError, match="take at least 5"):
        itm(features[:4], labels[:4])

"""Compare the linear probe with a loop over scikit-learn, and with training the same head through the network.

``python -m benchmarks.linear_probe`` prints one line of JSON for each shape of synthetic features, and one for a
network of the built-in pool on the digits. ``gradients`` counts gradients of the loss on all training samples, for all
inverse penalties together. Through the network, each costs a forward pass of every image.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from transfer_exp.dataset.digits import digits
from transfer_exp.dataset.target_dataset import LabelledImages
from transfer_exp.ground_truth.linear_probe import LinearProbe
from transfer_exp.ground_truth.logistic_regression import logistic_regression
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.model_pool.loaded_model import LoadedModel

SHAPES = ((720, 1024, 10), (1800, 512, 10))
NETWORK, REPEATS = "resnet_glyphs", 3


def measure_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the shortest time of a few runs, and the result of the last run."""
    shortest, result = float("inf"), None
    for _ in range(REPEATS):
        start = time.perf_counter()
        result = work()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest, result


def decaying_features(samples: int, dim: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Return standardised float32 features with overlapping classes and a decaying spectrum, like networks."""
    rng = np.random.default_rng(0)
    labels = np.arange(samples) % classes
    axes = np.arange(1, dim + 1) ** -0.7
    turn = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    features = ((0.8 * rng.normal(size=(classes, dim))[labels] + rng.normal(size=(samples, dim))) * axes) @ turn
    return ((features - features.mean(axis=0)) / features.std(axis=0)).astype(np.float32), labels


def compare_with_loop(samples: int, dim: int, classes: int) -> dict[str, Any]:
    """Return the seconds of both, and the distance of their weights from the solution at the weakest penalty."""
    features, labels = decaying_features(samples, dim, classes)
    exact, targets, c_values = features.astype(np.float64), np.eye(classes)[labels], LinearProbe().strengths
    ours, fits = measure_seconds(lambda: logistic_regression(exact, targets, c_values, "softmax"))
    solution = logistic_regression(exact, targets, c_values[-1:], "softmax", tolerance=1e-8).weights[0]

    def loop(features: np.ndarray, tolerance: float) -> Any:
        return [LogisticRegression(C=c, max_iter=3000, tol=tolerance).fit(features, labels) for c in c_values][-1]

    def relative_error(weights: np.ndarray) -> float:
        return float(np.linalg.norm(weights - solution) / np.linalg.norm(solution))

    result: dict[str, Any] = {
        "shape": [samples, dim, classes],
        "seconds": ours,
        "off": relative_error(fits.weights[-1]),
    }
    duration, rough = measure_seconds(lambda: logistic_regression(exact, targets, c_values, "softmax", tolerance=1e-4))
    result["tolerance_1e-4"] = {"seconds": duration, "off": relative_error(rough.weights[-1])}
    for name, x, tolerance in (
        ("float32", features, 1e-4),
        ("float64", exact, 1e-4),
        ("float64_1e-6", exact, 1e-6),
    ):
        duration, last = measure_seconds(partial(loop, x, tolerance))
        result[f"loop_{name}"] = {
            "seconds": duration,
            "times_slower": duration / ours,
            "off": relative_error(last.coef_.T),
        }
    return result


def _images(model: LoadedModel, images: LabelledImages) -> torch.Tensor:
    return torch.stack([model.transform(images.read(i)) for i in range(len(images))])


def _features(model: LoadedModel, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.cat([model.backbone(part) for part in images.split(128)])


def compare_with_network() -> dict[str, Any]:
    """Return seconds and accuracy of a linear probe, and of the same head trained through the network."""
    dataset, model = digits(), builtin((NETWORK,)).candidates[0].load()
    train, test = (_images(model, split) for split in (dataset.train, dataset.test))
    labels, truth = (torch.as_tensor(np.asarray(split.labels)) for split in (dataset.train, dataset.test))
    classes, c_values = len(dataset.class_names), LinearProbe().strengths
    forward, features = measure_seconds(lambda: _features(model, train))
    centre, scale = features.mean(dim=0), features.std(dim=0).clamp_min(1e-6)
    standard, targets = ((features - centre) / scale).double().numpy(), np.eye(classes)[labels]
    grid, fits = measure_seconds(lambda: logistic_regression(standard, targets, c_values, "softmax"))
    single = logistic_regression(standard, targets, c_values[-1:], "softmax")

    head = nn.Linear(features.shape[1], classes)
    nn.init.zeros_(head.weight)
    optimizer = torch.optim.LBFGS(
        head.parameters(), max_iter=10_000, max_eval=single.n_gradients, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        logits = head((_features(model, train) - centre) / scale)
        losses = c_values[-1] * nn.functional.cross_entropy(logits, labels, reduction="sum")
        (total := losses + 0.5 * head.weight.square().sum()).backward()
        return total

    start = time.perf_counter()
    optimizer.step(loss)
    duration = time.perf_counter() - start
    with torch.no_grad():
        test_features = (_features(model, test) - centre) / scale
        correct = [
            (head(test_features).argmax(1) == truth),
            torch.as_tensor((test_features.double().numpy() @ single.weights[0] + single.intercepts[0]).argmax(1))
            == truth,
        ]
    grid_through_network = duration * fits.n_gradients / single.n_gradients
    return {
        "network": NETWORK,
        "images": len(labels),
        "gradients": fits.n_gradients,
        "probe_s": grid,
        "one_forward_pass_s": forward,
        "through_the_network_s": grid_through_network,
        "times_cheaper_once_stored": grid_through_network / grid,
        "times_cheaper_with_extraction": grid_through_network / (grid + forward),
        "accuracy": [float(c.double().mean()) for c in correct],
        "points_apart": 100 * abs(float(correct[0].double().mean() - correct[1].double().mean())),
    }


def main() -> None:
    """Print one line of JSON for each comparison."""
    warnings.simplefilter("ignore")  # scikit-learn warns about fits that do not converge
    for shape in SHAPES:
        print(json.dumps(compare_with_loop(*shape)), flush=True)
    print(json.dumps(compare_with_network()), flush=True)


if __name__ == "__main__":
    main()

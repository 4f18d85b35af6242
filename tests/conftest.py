"""Fixtures and helpers that several test folders share.

Nothing here imports torch when it is loaded, so the tests of the NumPy parts run without it. Helpers that need torch
are in `torch_helpers`.
"""

from __future__ import annotations

import json
import logging
import os
import signal

# Set before torch is imported: tests run in parallel processes, and each would otherwise use all cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import jaxtyping
import numpy as np
import pytest

from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store

if TYPE_CHECKING:
    from transfer_exp.dataset.target_dataset import TargetDataset

# The shell of the caller must not decide a test: neither its variables, nor that it ignores Ctrl-C in the background.
for _name in [name for name in os.environ if name.startswith(("TRANSFER_EXP_", "HYDRA_", "WANDB_", "MLFLOW_"))]:
    del os.environ[_name]
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
GOLDEN = Path(__file__).parent / "golden"
GOLDEN_CASES = ["separable", "imbalanced", "wide", "signed", "digits", "real_textures", "real_oracle"]
SHARED = Path(__file__).parents[2] / "shared"
# Examples differ from run to run, so few of them see as much in the course of time.
hypothesis.settings.register_profile("few", max_examples=40)
hypothesis.settings.load_profile("few")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files with slow tests only where `make check` would discard all tests after seconds of imports."""
    if collection_path.suffix != ".py" or not config.option.markexpr.startswith("not (slow or "):
        return None
    return "\npytestmark = pytest.mark.slow\n" in collection_path.read_text(encoding="utf-8") or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with slow tests first, so that parallel processes end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def shared() -> Path:
    """Return the folder of real networks and images next to the checkout, or skip the test."""
    if not (SHARED / "assets" / "weights" / "manifest.json").is_file():
        pytest.skip("needs the real networks and images of ../shared/assets, which are not next to this checkout")
    return SHARED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def s3_server():
    """Return the address of a local S3 server."""
    from moto.server import ThreadedMotoServer  # Imported here because it takes a second.

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # It would log each request.
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return the URL of an empty bucket, for which the environment has address and key."""
    from s3fs import S3FileSystem

    for name, value in (("ENDPOINT_URL", s3_server), ("ACCESS_KEY_ID", "me"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    bucket = f"bucket-{uuid4().hex}"
    S3FileSystem().mkdir(bucket)  # clients of one process are shared: the address and the key are the same in all tests
    return f"s3://{bucket}"


@pytest.fixture
def untyped():
    """Turn shape checks off, as outside the tests, so that the checks of the package must reject the input."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def dataset() -> TargetDataset:
    """Return a dataset of three easy classes, 12 training and 20 test images each."""
    from torch_helpers import coloured

    from transfer_exp.dataset.target_dataset import TargetDataset

    train = coloured(12, seed=0)
    return TargetDataset(
        "coloured", ("red", "green", "blue"), train=train, test=coloured(20, seed=1), scoring_set=train
    )


def golden_case(name: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the arrays of one golden case and what the reference codes compute from them, by key."""
    scores: dict[str, Any] = {}
    for file in ("expected.json", "expected_2.json"):
        scores |= json.loads((GOLDEN / file).read_text()).get(name, {}).get("scores", {})
    with np.load(GOLDEN / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays), scores


def wrong_types(options, name):
    """Return values of other types than an option of a dataclass with defaults: numbers, texts, lists, truth values."""
    (annotation,) = (str(field.type) for field in fields(options) if field.name == name)
    kind = type(getattr(options, name))
    kind = {"str | None": str, "int | None": int}.get(annotation, kind)
    values = {float: ["3", [1.0], True], int: ["3", [1], True], bool: ["true", [True], 1], str: [3, ["a"], True]}
    wrong = values.get(kind, [3, "x", True, [None]])
    return wrong if "None" in annotation else [*wrong, None]


def on_samples(metric):
    """Let a metric of class statistics take features and labels."""
    return wraps(metric)(lambda features, labels, *options: metric(class_statistics(features, labels), *options))


def inputs_for(metric, values, labels):
    """Return the inputs that a metric declares, built from features (or source probabilities) and labels."""
    builders = {
        "labels": lambda: labels,
        "features": lambda: values,
        "source_probabilities": lambda: values,
        "class_statistics": lambda: class_statistics(values, labels),
        "dataset": lambda: "this",
    }
    return [builders[name]() for name in metric.inputs]

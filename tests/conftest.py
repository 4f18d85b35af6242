"""What tests of several parts share."""

from __future__ import annotations

import logging
import os

# Before torch is imported: tests run beside each other, and each would want all cores for itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import jaxtyping
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transfer_exp.dataset.target_dataset import LabelledImages, TargetDataset
from transfer_exp.statistics.class_statistics import class_statistics
from transfer_exp.store import Store
from transfer_exp.vision import torchvision

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """Return the folder of golden values and real networks beside the checkout, or skip."""
    if not (SHARED / "assets" / "weights" / "manifest.json").is_file():
        pytest.skip("needs the real networks and images of ../shared/assets, which are not beside this checkout")
    return SHARED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="session")
def s3_server():
    """Return the address of a server of S3's protocol on this machine."""
    from moto.server import ThreadedMotoServer  # not for tests that do without: it takes a second

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # each request
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
    S3FileSystem.clear_instance_cache()
    bucket = f"bucket-{uuid4().hex}"
    S3FileSystem().mkdir(bucket)
    yield f"s3://{bucket}"
    S3FileSystem.clear_instance_cache()


@pytest.fixture
def untyped():
    """Turn shape checking off, as it is outside the tests: the package's own checks must then refuse."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def coloured(per_class: int, seed: int, classes: int = 3) -> LabelledImages:
    """Return noisy images whose class is their brightest channel: learnable in a few steps."""
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(classes), per_class)
    pixels = rng.integers(0, 160, (len(labels), 12, 12, 3), dtype=np.uint8)
    pixels[np.arange(len(labels)), :, :, labels] += 90
    return LabelledImages(labels, lambda i: Image.fromarray(pixels[i]), lambda i: pixels[i].tobytes())


@pytest.fixture
def dataset() -> TargetDataset:
    """Return a dataset of three easy classes, 12 training and 20 test images each."""
    train = coloured(12, seed=0)
    return TargetDataset(
        "coloured", ("red", "green", "blue"), train=train, test=coloured(20, seed=1), scoring_set=train
    )


def fake_pairing(name="net", dataset=None, model=None, unfinished=None, **splits):
    """Return one model on one target, as a regime sees it; ``images`` and ``features`` give splits, or nothing."""
    nothing = dict.fromkeys(("images", "features"), lambda split: None)
    return SimpleNamespace(name=name, dataset=dataset, model=model, unfinished=unfinished, **{**nothing, **splits})


def cache_random_weights(root: Path, name: str) -> nn.Module:
    """Fill torch's cache below ``root`` with a network of random weights under the name of the published file."""
    torch.manual_seed(0)
    arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    network = torchvision.models.get_model(name, weights=None, **arguments).eval()
    choice = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]
    checkpoints = root / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), checkpoints / choice.url.rsplit("/", 1)[1])
    return network


def on_samples(metric):
    """Let a metric of class statistics take features and labels."""
    return wraps(metric)(lambda features, labels, *options: metric(class_statistics(features, labels), *options))


def evidence(metric, values, labels):
    """Return what a metric takes of one model, from features (or source probabilities) and labels."""
    known = {
        "labels": lambda: labels,
        "features": lambda: values,
        "source_probabilities": lambda: values,
        "class_statistics": lambda: class_statistics(values, labels),
        "dataset": lambda: "this",
    }
    return [known[name]() for name in metric.inputs]

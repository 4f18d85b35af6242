"""Files of features (npz) that cannot be used, or are dangerous to read."""

from __future__ import annotations

import zipfile

import numpy as np

from tests.bad_input.files import Build, archive, npy, npz, sequence, text, zeros
from tests.bad_input.kind import Kind

ARGUMENTS = ("dataset=arrays", "dataset.root=net.npz", "ground_truth=none", "tracker=none")
EMBEDDINGS = ("model_pool.names=[resnet_glyphs]", "ground_truth=none", "tracker=none", "metric=emms")


def _kind(name: str, message: str, build: Build) -> Kind:
    return Kind(name, ARGUMENTS, message, build)


KINDS = [
    _kind(
        "features as a pickle",
        "holds Python objects, which could run code",
        npz(features=np.array([{}] * 8, dtype=object)),
    ),
    _kind("labels as a pickle", "cannot read labels of net.npz", npz(labels=np.array([{}] * 8, dtype=object))),
    _kind("npz that is not an archive", "cannot read the names of net.npz", text("net.npz", b"PK\x03\x04 cut")),
    _kind("single array instead of an npz", "is a single array", text("net.npz", npy((10**13,), "<f8", b""))),
    _kind(
        "npz whose header states terabytes",
        "its header announces 8000000000000 bytes, but 16 follow",
        archive("net.npz", "labels.npy", npy((10**12,), "<i8", bytes(16))),
    ),
    _kind("npz that unpacks to a hundred megabytes", "a decompression bomb", zeros("net.npz")),
    _kind(
        "npz with code in its header",
        "cannot read labels of net.npz",
        archive("net.npz", "labels.npy", npy((8,), "__import__('os')", bytes(64)), zipfile.ZIP_DEFLATED),
    ),
    _kind("npz without labels", "has no array 'labels', only features", npz(labels=None)),
    _kind("features with NaN", "features hold NaN", npz(features=np.full((8, 5), np.nan))),
    _kind("fewer features than labels", "net.npz has 7 rows of features but 8 labels", npz(features=np.ones((7, 5)))),
    _kind("labels that are not whole numbers", "must be (N,) integers or strings", npz(labels=np.ones(8))),
    _kind("labels of one class", "hold one class only", npz(labels=np.zeros(8, dtype=int))),
    _kind("probabilities that do not sum to 1", "sum", npz(source_probabilities=np.ones((8, 4)))),
    Kind(
        "models with different labels",
        ("dataset=arrays", "dataset.root=.", *ARGUMENTS[2:]),
        "labels of net.npz differ from those of a.npz",
        sequence(npz("a.npz"), npz(labels=np.arange(8) // 4)),
    ),
    Kind(
        "embeddings as a pickle",
        (*EMBEDDINGS, "metric.embeddings=net.npz"),
        "is not a readable .npz of arrays",
        npz(features=np.array([{}] * 8, dtype=object), labels=None),
    ),
]

"""Random selection of samples with the class proportions of the whole set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from transfer_exp.errors import InputError

_CLASS_SIZE = 4
"""Samples of a class that come together where a first look has too few images for all classes."""


def stratified_indices(labels: Int[np.ndarray, " samples"], size: int | None, seed: int) -> Int[np.ndarray, " chosen"]:
    """Draw ``size`` indices with the class proportions of ``labels``, in ascending order.

    Every class gets its share of ``size``, rounded by largest remainder, and at least one sample. If ``size`` is None
    or at least N, all indices are returned.

    Raises:
        InputError: If ``size`` is smaller than the number of classes.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    if size < len(classes):
        raise InputError(
            f"scoring_set_size={size} cannot hold one image of each of {len(classes)} classes: raise it, or write null"
        )
    return take_per_class(labels, _quotas(counts, size), seed)[0]


def few_shot_indices(
    labels: Int[np.ndarray, " samples"], shots: int, seed: int, class_names: Sequence[str] | None
) -> Int[np.ndarray, " chosen"]:
    """Draw ``shots`` indices of each class, in ascending order.

    With one seed, a draw of more shots contains that of fewer.

    Args:
        labels: Class of each sample, (N,).
        shots: Number of samples of each class.
        seed: Seed of the draw.
        class_names: Name of each class; None if labels are no classes that a user knows, and smaller ones give all.

    Raises:
        InputError: If ``shots`` is below 1, or above the size of a class with a name.
    """
    if shots < 1:
        raise InputError(f"shots={shots} is no image of a class: take at least 1")
    classes, counts = np.unique(labels, return_counts=True)
    smallest = counts.argmin()
    if class_names is not None and shots > counts[smallest]:
        name, count = class_names[classes[smallest]], counts[smallest]
        raise InputError(f"shots={shots}: class '{name}' has only {count} training images: set at most {count}")
    return take_per_class(labels, np.minimum(counts, shots), seed)[0]


def stratified_split(
    labels: Int[np.ndarray, " samples"], fraction: float, seed: int
) -> tuple[Int[np.ndarray, " remaining"], Int[np.ndarray, " held_out"]]:
    """Hold out a fraction of every class; return the indices that remain and those held out, in ascending order.

    At least one sample of each class is held out, even of a class with a single one. At least two remain if possible.

    Raises:
        InputError: If ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to hold out is {fraction}, and must lie between 0 and 1")
    counts = np.unique(labels, return_counts=True)[1]
    sizes = np.clip(np.rint(counts * fraction).astype(np.int64), 1, np.maximum(counts - 2, 1))
    held_out, remaining = take_per_class(labels, sizes, seed)
    return remaining, held_out


def multi_label_split(
    targets: Int[np.ndarray, "samples labels"], fraction: float, seed: int
) -> tuple[Int[np.ndarray, " remaining"], Int[np.ndarray, " held_out"]]:
    """Hold out about a fraction of the samples of every label; return the indices of both parts, in ascending order.

    The samples of the rarest label are divided first, then those of the next, as long as any are left.

    Args:
        targets: (N, C), zeros and ones, at least a 1 in every row.
        fraction: Share to hold out, between 0 and 1.
        seed: Seed of the order of the samples.

    Raises:
        InputError: If ``fraction`` is not between 0 and 1.

    References:
        Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data", ECML PKDD 2011, algorithm 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to hold out is {fraction}, and must lie between 0 and 1")
    order = np.random.default_rng(seed).permutation(len(targets))
    shares = np.array([1 - fraction, fraction])
    missing = np.outer(shares, targets.sum(axis=0))  # samples of each label that each part still needs
    wanted_in_all = shares * len(targets)
    part = np.full(len(targets), -1)
    while (part < 0).any():
        left = targets[part < 0].sum(axis=0)
        rarest = np.where(left > 0, left, len(targets) + 1).argmin()
        for sample in order[(part[order] < 0) & (targets[order, rarest] > 0)]:
            best = max((0, 1), key=lambda p: (missing[p, rarest], wanted_in_all[p]))
            part[sample] = best
            missing[best] -= targets[sample]
            wanted_in_all[best] -= 1
    return np.flatnonzero(part == 0), np.flatnonzero(part == 1)


def take_per_class(
    labels: Int[np.ndarray, " samples"], sizes: Int[np.ndarray, " classes"], seed: int
) -> tuple[Int[np.ndarray, " selected"], Int[np.ndarray, " rest"]]:
    """Draw ``sizes[c]`` indices of the class with the c-th smallest label, without replacement.

    Returns:
        The indices drawn and all others, in ascending order.

    Raises:
        InputError: If a class has fewer samples than its size.
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for i in np.flatnonzero((sizes < 0) | (sizes > counts)):
        raise InputError(f"cannot take {sizes[i]} images of class {classes[i]}: it has {counts[i]}")
    rng = np.random.default_rng(seed)
    selected = np.zeros(len(labels), dtype=bool)
    for c in range(len(classes)):
        # The prefix of a shuffle: with one seed, a class's samples in a larger set include those in a smaller one.
        selected[rng.permutation(np.flatnonzero(codes == c))[: sizes[c]]] = True
    return np.flatnonzero(selected), np.flatnonzero(~selected)


def nested_order(
    labels: Int[np.ndarray, " samples"], seed: int, first_images: int | None = None
) -> Int[np.ndarray, " samples"]:
    """Return a random order of all indices, (N,), whose first n are a stratified sample for every n.

    The budgeted search scores growing prefixes of this order; `stratified_indices` draws a single scoring set. One
    sample of each class comes first, then a second of each, because most metrics need two. After these, the samples of
    a class are spread evenly over the order. The order within a class and the order of classes are random.

    Args:
        labels: Class of each sample, (N,).
        seed: Seed of the order.
        first_images: Number of images that are used first. If it is below four for each class, one class after the
            other comes with four samples, because single samples of many classes say nothing about the spread within
            a class. The first n < 4C samples then have only a part of the classes.
    """
    rng = np.random.default_rng(seed)
    codes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    shuffled = np.lexsort((rng.random(len(labels)), codes))
    rank = np.empty(len(labels), dtype=np.int64)
    rank[shuffled] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    class_order = rng.permutation(len(counts))[codes]
    # The first two of each class come before all others; ties between classes are broken at random.
    position = np.where(rank < 2, rank - 2.0, (rank + 0.5) / counts[codes])
    if first_images is not None and first_images < _CLASS_SIZE * len(counts):
        position = np.where(rank < _CLASS_SIZE, class_order - len(counts), position)
    return np.lexsort((rank, class_order, position))


def _quotas(counts: Int[np.ndarray, " classes"], size: int) -> Int[np.ndarray, " classes"]:
    """Split ``size`` over the classes in proportion to ``counts``, by largest remainder, with at least one each."""
    share = counts * (size / counts.sum())
    quota: np.ndarray = np.maximum(np.floor(share).astype(np.int64), 1)
    while quota.sum() != size:
        step = 1 if quota.sum() < size else -1
        gap = np.where((quota > 1) | (step > 0), step * (share - quota), -np.inf)
        quota[np.argmax(gap)] += step
    return quota

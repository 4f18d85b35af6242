"""Choosing samples class by class, so that a part looks like the whole."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from transfer_exp.errors import InputError


def stratified_indices(labels: Int[np.ndarray, " samples"], size: int | None, seed: int) -> Int[np.ndarray, " chosen"]:
    """Choose ``size`` positions with the class proportions of ``labels``, in ascending order.

    Every class keeps its share of ``size``, rounded by largest remainder and never below one sample, so that
    no class disappears. ``size`` None, or at least N, takes all.

    Raises
    ------
    InputError
        When ``size`` is smaller than the number of classes.
    """
    if size is None or size >= len(labels):
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    if size < len(classes):
        raise InputError(f"scoring_set_size={size} cannot hold one image of each of {len(classes)} classes: raise it")
    return take_per_class(labels, _quotas(counts, size), seed)[0]


def stratified_split(
    labels: Int[np.ndarray, " samples"], fraction: float, seed: int
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " held_out"]]:
    """Hold out ``fraction`` of every class: at least one sample, and where possible leaving two.

    Returns
    -------
    kept, held_out
        Disjoint positions in ascending order, together all.

    Raises
    ------
    InputError
        When ``fraction`` is not between 0 and 1.
    """
    if not 0 < fraction < 1:
        raise InputError(f"the fraction to hold out is {fraction}, and must lie between 0 and 1")
    counts = np.unique(labels, return_counts=True)[1]
    take = np.clip(np.rint(counts * fraction).astype(np.int64), 1, np.maximum(counts - 2, 1))
    held_out, kept = take_per_class(labels, take, seed)
    return kept, held_out


def take_per_class(
    labels: Int[np.ndarray, " samples"], take: Int[np.ndarray, " classes"], seed: int
) -> tuple[Int[np.ndarray, " taken"], Int[np.ndarray, " rest"]]:
    """Draw ``take[c]`` positions of the c-th class that occurs, without replacement.

    Returns
    -------
    taken, rest
        Disjoint positions in ascending order, together all.

    Raises
    ------
    InputError
        When a class has fewer samples than are to be taken.
    """
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    for bad in np.flatnonzero((take < 0) | (take > counts)):
        raise InputError(f"cannot take {take[bad]} images of class {classes[bad]}: it has {counts[bad]}")
    rng = np.random.default_rng(seed)
    taken = np.zeros(len(labels), dtype=bool)
    for c in range(len(classes)):
        # A prefix of a shuffle: of two scoring sets of one seed, the larger holds (nearly always) the smaller.
        taken[rng.permutation(np.flatnonzero(codes == c))[: take[c]]] = True
    return np.flatnonzero(taken), np.flatnonzero(~taken)


def nested_order(labels: Int[np.ndarray, " samples"], seed: int) -> Int[np.ndarray, " samples"]:
    """Order all positions so that every beginning of the order is a stratified sample, and holds all shorter ones.

    One sample of each class comes first, then a second of each, which is what most scores need; then the j-th of n_c
    (from 0) samples of a class stands at (j + 1/2) / n_c of the way, so that, once every class has a share of three,
    none of C classes is further from its share than 1/2 + C/2 n_c/N samples. Which samples of a class come first is
    drawn, and which class is.

    Returns
    -------
    np.ndarray
        (N,), a permutation: ``order[:n]`` is the scoring set of n images, for any n of at least the number of classes.
    """
    rng = np.random.default_rng(seed)
    codes, counts = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    shuffled = np.lexsort((rng.random(len(labels)), codes))
    place = np.empty(len(labels), dtype=np.int64)
    place[shuffled] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    way = np.where(place < 2, place - 2.0, (place + 0.5) / counts[codes])
    return np.lexsort((rng.permutation(len(counts))[codes], way))


def _quotas(counts: Int[np.ndarray, " classes"], size: int) -> Int[np.ndarray, " classes"]:
    """Split ``size`` over classes in proportion to ``counts``, at least one each."""
    share = counts * (size / counts.sum())
    quota: np.ndarray = np.maximum(np.floor(share).astype(np.int64), 1)
    while quota.sum() != size:
        step = 1 if quota.sum() < size else -1
        gap = np.where((quota > 1) | (step > 0), step * (share - quota), -np.inf)
        quota[np.argmax(gap)] += step
    return quota

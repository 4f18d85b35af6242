"""What may be wrong with a dataset: each finding one line, with a count and up to three names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from transfer_exp.dataset.duplicates import LEVELS, SIDE, Group

FEW = 5
"""Training images of a class below which a score hangs on single ones."""
UNEVEN, EXTREME = 10, 100
"""Times the smallest class in the largest: long-tailed sets go from 10 to 200 (Cui et al., CVPR 2019)."""
_SHOWN = 3
_ALIKE = f"thumbnails of {SIDE} x {SIDE} within {LEVELS} of 255 levels"


@dataclass(frozen=True)
class Finding:
    """Something to know (``note``) or to mend (``warning``) before scores are trusted."""

    grade: Literal["note", "warning"]
    text: str


@dataclass(frozen=True, eq=False)
class Listed:
    """All images of a dataset, as findings speak of them.

    Attributes
    ----------
    name
        Of the image at a position.
    splits, classes
        Of every image.
    """

    name: Callable[[int], str]
    splits: Sequence[str]
    classes: Sequence[str]


def of_unreadable(unreadable: Sequence[int], listed: Listed) -> Iterator[Finding]:
    """Yield what cannot be decoded."""
    if unreadable:
        names = _some(listed.name(i) for i in unreadable)
        yield Finding("warning", f"{len(unreadable)} of {len(listed.splits)} images cannot be read: {names}")


def of_copies(groups: Sequence[Group], listed: Listed) -> Iterator[Finding]:
    """Yield what groups of images of the same content mean."""
    yield from _of_groups(groups, listed, "the same image is", "")


def of_look_alikes(groups: Sequence[Group], listed: Listed) -> Iterator[Finding]:
    """Yield what groups of images that look the same mean."""
    yield from _of_groups(groups, listed, "images that look the same are", f" ({_ALIKE})")


def _of_groups(groups: Sequence[Group], listed: Listed, what: str, how: str) -> Iterator[Finding]:
    across = [pair for group in groups for pair in _differing(group, listed.splits)]
    if across:
        shown = _some(f"{listed.name(i)} = {listed.name(j)}" for i, j in across)
        yield Finding("warning", f"{what} in several splits{how}, {len(across)} time(s): {shown}")
    torn = [pair for group in groups for pair in _differing(group, listed.classes)]
    if torn:
        named = [[f"{listed.name(i)} ({listed.classes[i]})" for i in pair] for pair in torn]
        yield Finding(
            "warning", f"{what} in several classes{how}, {len(torn)} time(s): {_some(map(' = '.join, named))}"
        )
    again = [pair for group in groups for pair in _repeated(group, listed.splits)]
    if again:
        shown = _some(f"{listed.name(i)} = {listed.name(j)}" for i, j in again)
        yield Finding("note", f"{what} in one split more than once{how}, {len(again)} time(s): {shown}")


def _differing(group: Group, of: Sequence[Hashable]) -> Iterator[tuple[int, int]]:
    """Yield the first two of a group that are of different splits, or classes; nothing if all are of one."""
    first = group[0]
    yield from [(first, i) for i in group if of[i] != of[first]][:1]


def _repeated(group: Group, splits: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield every image of a group that is not the first of its split, after that first."""
    firsts: dict[str, int] = {}
    for i in group:
        first = firsts.setdefault(splits[i], i)
        if first != i:
            yield first, i


def of_classes(names: Sequence[str], counts: Mapping[str, Int[np.ndarray, " classes"]]) -> Iterator[Finding]:
    """Yield what the numbers of images of each class, by split, mean.

    Parameters
    ----------
    names
        Of the C classes.
    counts
        By the name of the split, ``train`` among them.
    """
    train, occurs = counts["train"], np.sum(list(counts.values()), axis=0) > 0
    few = np.flatnonzero((train > 0) & (train < FEW))
    if len(few):
        shown = _some(f"{names[int(c)]} ({train[c]})" for c in few)
        yield Finding(
            "warning", f"{len(few)} class(es) with fewer than {FEW} training images, too few to score: {shown}"
        )
    for split, count in counts.items():
        absent = np.flatnonzero(occurs & (count == 0))
        if len(absent):
            grade: Literal["note", "warning"] = "note" if split == "validation" else "warning"
            yield Finding(
                grade, f"{len(absent)} class(es) without an image in {split}: {_some(names[int(c)] for c in absent)}"
            )
    yield from _of_balance(names, train)
    yield from _of_spelling(names)


def _of_balance(names: Sequence[str], train: Int[np.ndarray, " classes"]) -> Iterator[Finding]:
    here = np.flatnonzero(train)
    small, large = int(here[np.argmin(train[here])]), int(here[np.argmax(train[here])])
    ratio = train[large] / train[small]
    if ratio >= UNEVEN:
        text = f"{names[large]} has {train[large]} training images, {ratio:.0f} times those of {names[small]}"
        yield Finding("warning" if ratio >= EXTREME else "note", f"{text} ({train[small]})")


def _of_spelling(names: Sequence[str]) -> Iterator[Finding]:
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike["".join(name.casefold().split())].append(name)
    twins = [" = ".join(same) for same in alike.values() if len(same) > 1]
    if twins:
        yield Finding("warning", f"{len(twins)} class(es) differ only in capitals or blanks: {_some(twins)}")


def _some(names: Iterable[str]) -> str:
    """Return the first few names."""
    listed = list(names)
    return ", ".join(listed[:_SHOWN]) + (", ..." if len(listed) > _SHOWN else "")

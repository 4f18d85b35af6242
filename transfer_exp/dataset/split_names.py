"""Names of splits: those that every reader knows, and names like them, which are refused instead of read as classes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]
_SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Split by each of its accepted names, which are those of the library ``datasets``."""
_SHORT: Mapping[str, Split] = {
    **dict.fromkeys(("trn", "trainval"), "train"),
    **dict.fromkeys(("vld", "vali", "devel"), "validation"),
    **dict.fromkeys(("tst", "holdout", "heldout"), "test"),
}
"""Further words for splits, which are understood but not read."""
_NOUN = r"(?:sets?|data|datasets?|splits?|parts?|images?|imgs?|photos?|pictures?|pics|samples?|files)"
_NUMBERED = re.compile(
    r"((?:k[\W_]*)?folds?|cv|xval|crossval|splits?|parts?|partitions?|subsets?|sets?|train|val|test)[\W_]*\d+", re.I
)


def split_of(name: str) -> Split | None:
    """Return the split that a name stands for, ignoring capitals; None if it is not the name of a split."""
    return _SPLITS.get(name.strip().casefold())


def unlabelled(split: str) -> str:
    """Return the reason for passing over the images of a split without labels, see `TargetDataset.passed_over`."""
    return f"{split} images without a label"


def similar_split(name: str) -> Split | None:
    """Return the split that a word in a name stands for, such as ``test`` for ``my-test`` or ``tst``; None without."""
    words = (re.sub(f"(?<=.){_NOUN}$", "", word.casefold()) for word in re.split(r"[\W\d_]+", name))
    return next((split for word in words if (split := _SPLITS.get(word) or _SHORT.get(word))), None)


def is_only_split(name: str) -> bool:
    """Return whether a name has no other words than one for a split, and those for data, such as ``train_images``."""
    rest = [word for word in re.split(r"[\W\d_]+", name.casefold()) if word and not re.fullmatch(_NOUN, word)]
    return len(rest) == 1 and similar_split(rest[0]) is not None


def fold_of(name: str) -> str | None:
    """Return the word of a numbered part of a dataset, such as ``fold`` for ``Fold_1``; None for other names."""
    match = _NUMBERED.fullmatch(name.strip())
    return match[1].casefold() if match else None

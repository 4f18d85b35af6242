"""Names of train, validation and test: of folders, of splits of the Hugging Face Hub, and in tables of images.

`split_of` decides which names are read as splits. The other functions recognise names that only look like splits, so
that a folder of such names is refused instead of read as classes:

| name             | `split_of` | `guess_split` | `is_split_like` | `is_numbered_part` |
| ---------------- | ---------- | ------------- | --------------- | ------------------ |
| ``Training``     | train      | train         | True            | False              |
| ``train_images`` | None       | train         | True            | False              |
| ``tst``          | None       | test          | True            | False              |
| ``my-test``      | None       | test          | False           | False              |
| ``train1``       | None       | train         | True            | True               |
| ``Fold_1``       | None       | None          | False           | True               |
| ``contest``      | None       | None          | False           | False              |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

Split = Literal["train", "validation", "test"]
Part = Literal["scoring_set", "train", "validation", "test"]
"""A split, or the scoring set: the subset of the training images on which models are scored."""
_ACCEPTED: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
"""Split by each of its accepted names, which are those of the library ``datasets``."""
_SIMILAR: Mapping[str, Split] = {
    **dict.fromkeys(("trn", "trainval"), "train"),
    **dict.fromkeys(("vld", "vali", "devel"), "validation"),
    **dict.fromkeys(("tst", "holdout", "heldout"), "test"),
}
"""Split by further words for it, which are not accepted."""
_DATA_WORD = r"(?:sets?|data|datasets?|splits?|parts?|images?|imgs?|photos?|pictures?|pics|samples?|files)"
"""Words that say nothing about the split, alone or at the end of a word, such as ``testset``."""
_NUMBERED_PART = re.compile(
    r"(?:(?:k[\W_]*)?folds?|cv|xval|crossval|splits?|parts?|partitions?|subsets?|sets?|train|val|test)[\W_]*\d+", re.I
)


def split_of(name: str) -> Split | None:
    """Return the split with this accepted name, ignoring capitals; None for any other name."""
    return _ACCEPTED.get(name.strip().casefold())


def guess_split(name: str) -> Split | None:
    """Return the split that any word of a name stands for, accepted or not; None without such a word."""
    words = (re.sub(f"(?<=.){_DATA_WORD}$", "", word.casefold()) for word in re.split(r"[\W\d_]+", name))
    return next((split for word in words if (split := _ACCEPTED.get(word) or _SIMILAR.get(word))), None)


def is_split_like(name: str) -> bool:
    """Return whether a name consists of one word for a split and, perhaps, words for data and numbers."""
    rest = [word for word in re.split(r"[\W\d_]+", name.casefold()) if word and not re.fullmatch(_DATA_WORD, word)]
    return len(rest) == 1 and guess_split(rest[0]) is not None


def is_numbered_part(name: str) -> bool:
    """Return whether a name is that of a numbered part of a dataset."""
    return _NUMBERED_PART.fullmatch(name.strip()) is not None

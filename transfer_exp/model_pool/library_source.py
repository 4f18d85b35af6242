"""Names of the models of timm and torchvision, read from their source files: importing them takes many seconds.

A name that is not read here may still exist, as some are made by code; the library then decides.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from transfer_exp.model_pool.pool import select_names


@cache
def _source(package: str) -> str:
    """Return the text of the files of the library's models; empty if they cannot be read."""
    spec = find_spec(package)
    try:
        files = sorted((Path(str(spec and spec.origin)).parent / "models").glob("*.py"))
        return "\n".join(file.read_text(encoding="utf-8") for file in files)
    except (OSError, UnicodeError):
        return ""


@cache
def timm_names() -> frozenset[str]:
    """Return the architectures of timm, and their names with a weights tag as far as the source spells them out."""
    architectures = re.findall(r"^@register_model\n(?:@.*\n)*def (\w+)\(", _source("timm"), re.M)
    tagged = re.findall(r"""^\s*['"](\w+\.[\w.]+)['"]\s*:""", _source("timm"), re.M)
    return frozenset([*architectures, *tagged])


@cache
def torchvision_weights() -> Mapping[str, tuple[str, ...]]:
    """Return the names of the weights of each of torchvision's classification models."""
    classes = dict(re.findall(r"^class (\w+)\(WeightsEnum\):\n((?:    .*\n|\n)+)", _source("torchvision"), re.M))
    models = re.findall(
        r"^@register_model\(\)\n(?:@.*\n)*def (\w+)\(\s*\*,\s*weights: Optional\[(\w+)\]", _source("torchvision"), re.M
    )
    return {model: tuple(re.findall(r"^    (\w+) = ", classes.get(kind, ""), re.M)) for model, kind in models}


def needs_import(models: Iterable[str], names: Collection[str], package: str) -> bool:
    """Return whether only the library itself can tell if it has all of the models.

    Args:
        models: Names given by the user.
        names: Names in the source files of the library.
        package: Its name. Once it is imported, other packages may have added models to it.

    Raises:
        InputError: If the library cannot have a model, because its source files do not contain the word.
    """
    unknown = [model for model in models if model not in names]
    for model in unknown:
        word = re.escape(model.partition(".")[0])
        if names and package not in sys.modules and not re.search(rf"(?<!\w){word}(?!\w)", _source(package)):
            select_names([model], names, package)
    return bool(unknown)

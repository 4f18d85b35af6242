"""The one place that imports torchvision and timm; nothing that must start quickly imports this.

The registry's torchvision for Linux is built against CUDA. Beside a CPU-only torch its compiled file does not load,
and the import fails with "operator torchvision::nms does not exist", because Python code registers shape functions for
operators that the file should have defined. Declaring those operators first is enough: only detection operators and
``torchvision.io`` need the compiled file, and nothing here uses either. Where the wheels match, this does nothing.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import torch

_MOST_MISSING = 10
# A declaration lasts as long as its Library object.
_declarations: list[torch.library.Library] = []


def _declare(operator: str) -> None:
    """Declare a torchvision operator that will never be called."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declarations.append(library)


def _forget(package: str) -> None:
    """Drop a half-imported package, so that it can be imported again."""
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


def _import_torchvision() -> ModuleType:
    """Import torchvision, declaring whichever operators its compiled file failed to bring."""
    for _ in range(_MOST_MISSING):
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
        _forget("torchvision")
        _declare(missing[1])
    raise RuntimeError(f"torchvision lacks more than {_MOST_MISSING} operators: install one that matches torch")


torchvision = _import_torchvision()
timm = importlib.import_module("timm")
for _part in ("data", "optim", "scheduler"):
    importlib.import_module(f"timm.{_part}")
for _part in ("datasets", "models", "transforms"):
    importlib.import_module(f"torchvision.{_part}")

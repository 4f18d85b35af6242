"""Import of torchvision and timm, with a workaround for CPU-only torch; slow, so commands import it late.

The Linux wheel of torchvision on PyPI is built against CUDA, and its compiled file does not load with a CPU-only torch.
The import then fails with "operator torchvision::nms does not exist": Python code registers shape functions for
operators that the file should have defined. Declaring these operators first is enough. Only detection operators and
``torchvision.io`` need the compiled file, and this project uses neither. With matching wheels, nothing is declared.
"""

from __future__ import annotations

import importlib
import re
import sys
from types import ModuleType

import torch

_MAX_MISSING = 10
# A declaration lasts as long as its Library object.
_declarations: list[torch.library.Library] = []


def _import_torchvision() -> ModuleType:
    """Import torchvision, declaring the operators that its compiled file failed to define."""
    for _ in range(_MAX_MISSING):
        try:
            return importlib.import_module("torchvision")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if missing is None:
                raise
        # The half-imported package must be imported again.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        library.define(f"{missing[1]}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declarations.append(library)
    raise RuntimeError(f"torchvision lacks more than {_MAX_MISSING} operators: install one that matches torch")


torchvision = _import_torchvision()
timm = importlib.import_module("timm")
for _module in ("data", "optim", "scheduler"):
    importlib.import_module(f"timm.{_module}")
for _module in ("datasets", "models", "transforms"):
    importlib.import_module(f"torchvision.{_module}")

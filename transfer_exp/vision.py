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
from functools import partial, wraps
from types import ModuleType
from typing import Any

import torch
import torch.compiler

_MAX_MISSING = 10
_COMPILER = "torch._dynamo.utils"
_disable = torch.compiler.disable
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


def _find_in_compiler(name: str) -> Any:
    """Return a name of the module of torch's compiler, which is imported unless the name is a function for later."""
    if name == "is_compile_supported":
        return lambda device: importlib.import_module(_COMPILER).is_compile_supported(device)
    if name.startswith("__"):  # Python asks every module for its file.
        raise AttributeError(name)
    del sys.modules[_COMPILER]
    return getattr(importlib.import_module(_COMPILER), name)


def _disable_later(function: Any = None, *args: Any, **options: Any) -> Any:
    """Decorate a function like ``torch.compiler.disable``, which imports the compiler; here only a call may use it."""
    if function is None:
        return partial(_disable_later, **options)

    @wraps(function)
    def call(*values: Any, **named: Any) -> Any:
        # Nothing is compiled before the compiler is imported.
        chosen = _disable(function, *args, **options) if "torch._dynamo" in sys.modules else function
        return chosen(*values, **named)

    call._torchdynamo_disable = True  # type: ignore[attr-defined] # read by the compiler where it meets a call
    return call


def _import_all() -> tuple[ModuleType, ModuleType]:
    """Import torchvision and timm without torch's compiler and without wandb.

    Both take half of the time of these imports. torchvision imports one function of the compiler for its detection
    operators, and timm decorates methods of `timm.models.naflexvit` with ``torch.compiler.disable``. timm imports wandb
    for its training scripts. Training imports the compiler when it starts.
    """
    compiler = ModuleType(_COMPILER)
    compiler.__getattr__ = _find_in_compiler  # type: ignore[method-assign]
    stand_ins = {_COMPILER: compiler, "wandb": None}
    stand_ins = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    sys.modules.update(stand_ins)  # type: ignore[arg-type] # None lets an import fail
    torch.compiler.disable = _disable_later  # type: ignore[assignment]
    try:
        torchvision, timm = _import_torchvision(), importlib.import_module("timm")
        for name in ("timm.data", "torchvision.datasets", "torchvision.models", "torchvision.transforms"):
            importlib.import_module(name)
    finally:
        torch.compiler.disable = _disable
        for name, module in stand_ins.items():
            if sys.modules.get(name) is module:
                sys.modules.pop(name, None)
    return torchvision, timm


torchvision, timm = _import_all()


def import_from_timm(name: str) -> Any:
    """Return a module of timm that only training needs, ``optim`` or ``scheduler``; it imports torch's compiler."""
    return importlib.import_module(f"timm.{name}")

"""Names of models that are read from the source files of timm and torchvision, without importing these."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from transfer_exp.errors import InputError
from transfer_exp.model_pool import library_source
from transfer_exp.model_pool.library_source import needs_import, timm_names, torchvision_weights
from transfer_exp.vision import timm, torchvision

ROOT = Path(__file__).parents[2]
PROGRAM = """
import sys
from transfer_exp.errors import InputError
from transfer_exp.model_pool.timm import timm
from transfer_exp.model_pool.torchvision import torchvision
assert timm(["resnet18", "resnet18.a1_in1k"]) and torchvision(["resnet18"], "IMAGENET1K_V1")
for make in (timm, torchvision):
    try:
        make(["resnet18", "resnt18"])
    except InputError as error:
        print(error)
print("torch" in sys.modules)
"""


def test_the_names_are_those_of_the_installed_libraries():
    assert {name for name in timm_names() if "." not in name} == set(timm.list_models())
    assert len(set(timm.list_pretrained()) - timm_names()) < 100, "few tags are made by code"
    models = torchvision.models.list_models(module=torchvision.models)
    assert torchvision_weights() == {m: tuple(torchvision.models.get_model_weights(m).__members__) for m in models}


def test_wrong_names_are_refused_without_torch():
    process = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines() == [
        "no model 'resnt18' in timm: did you mean resnet18, resnet18d, skresnet18?",
        "no model 'resnt18' in torchvision: did you mean resnet18, resnet152, resnet101?",
        "False",
    ]


def test_the_library_decides_on_names_that_may_be_made_by_code(monkeypatch):
    names = frozenset({"resnet18"})
    monkeypatch.setattr(library_source, "_source", lambda package: "def resnet18(): ...\nnames = f'vit_{size}.a1'")
    monkeypatch.delitem(sys.modules, "timm")
    assert not needs_import(["resnet18"], names, "timm")
    assert needs_import(["resnet18", "resnet18.a2"], names, "timm"), "of a known architecture with another tag"
    with pytest.raises(InputError, match="no model 'resnet'"):
        needs_import(["resnet18.a2", "resnet"], names, "timm")
    assert needs_import(["resnet"], frozenset(), "timm"), "a source that cannot be read"
    monkeypatch.setitem(sys.modules, "timm", timm)
    assert needs_import(["mine"], names, "timm"), "models of other packages"

"""The house: layers, sizes, and what may be imported how quickly."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for part in ("transfer_exp", "benchmarks") for path in (ROOT / part).rglob("*.py"))
HEAVY = ("torch", "torchvision", "timm", "wandb", "pandas", "matplotlib", "sklearn")


@pytest.mark.slow  # `make check` runs the same contracts by themselves
def test_imports_point_one_way():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_files_and_functions_stay_small_and_say_what_they_are(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 400
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            length = node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)
            assert length <= 50, node.name


def test_nothing_is_called_utils():
    assert not [
        p for p in FILES if p.stem.strip("_") in ("util", "utils", "helper", "helpers", "misc", "common", "tools")
    ]


@pytest.mark.parametrize("module", ["__main__", "metric.sfda", "perturbation.released", "evaluation.ranking"])
def test_help_and_scores_import_no_heavy_library(module):
    code = f"import sys, transfer_exp.{module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


@pytest.mark.slow
def test_vision_works_beside_a_torch_built_otherwise():
    code = "from transfer_exp.vision import timm, torchvision; print(timm.create_model('test_vit').num_features)"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "64"

"""Architecture: imports point one way, functions are short, and light commands import no heavy library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for part in ("transfer_exp", "benchmarks", "studies") for path in (ROOT / part).rglob("*.py"))
HEAVY = ("torch", "torchvision", "timm", "wandb", "pandas", "matplotlib", "sklearn")


@pytest.mark.slow  # `make check` runs lint-imports itself
def test_imports_point_one_way():
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()"]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-2000:]


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_a_module_has_a_docstring_and_no_function_of_more_than_50_lines(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node) else None
            length = node.end_lineno - node.lineno + 1 - (doc.end_lineno - doc.lineno + 1 if doc else 0)
            assert length <= 50, node.name


def test_no_module_has_a_name_without_a_subject():
    names = {"util", "utils", "helper", "helpers", "misc", "common", "tools"}
    assert not [
        path for path in FILES if names & {part.removesuffix(".py").strip("_") for part in path.relative_to(ROOT).parts}
    ]


def test_the_package_imports_neither_studies_nor_benchmarks_nor_tests():
    for path in (ROOT / "transfer_exp").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {module.split(".")[0] for module in modules} & {"studies", "benchmarks", "tests"}, path


@pytest.mark.parametrize("module", ["__main__", "metric.sfda", "perturbation.released", "evaluation.ranking"])
def test_help_and_scores_import_no_heavy_library(module):
    code = f"import sys, transfer_exp.{module}; print([m for m in {HEAVY!r} if m in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"


@pytest.mark.slow
def test_vision_works_with_a_torch_of_another_build():
    code = "import sys; from transfer_exp.vision import timm, torchvision"
    code += "; print(timm.create_model('test_vit').num_features)"
    code += "; print([m for m in ('torch._dynamo', 'wandb') if m in sys.modules], torchvision.ops.roi_align.__name__)"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["64", "[]", "roi_align"], "neither torch's compiler nor wandb is imported"


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"recursive": False}])
def test_functions_that_timm_keeps_from_the_compiler_stay_so_for_other_programs(options):
    import torch

    from transfer_exp.vision import _disable_later, timm

    assert timm.models.naflexvit.NaFlexVit._generate_rope_naflex._torchdynamo_disable
    is_compiled = []

    def double(x):
        """Double a number."""
        is_compiled.append(torch.compiler.is_compiling())
        return 2 * x

    kept = _disable_later(**options)(double) if options else _disable_later(double)
    assert (kept(3), kept.__doc__) == (6, double.__doc__)
    assert torch.compile(lambda x: kept(x + 1) + 1, backend="eager")(torch.ones(1)) == 5
    assert is_compiled == [False, False]
    with pytest.raises(torch._dynamo.exc.Unsupported, match=r"torch\.compiler\.disable"):
        torch.compile(lambda x: kept(x + 1), backend="eager", fullgraph=True)(torch.ones(1))


def test_the_shell_of_the_caller_decides_no_test():
    code = "import signal, os; signal.signal(signal.SIGINT, signal.SIG_IGN); import conftest"
    code += "; print([n for n in os.environ if n.startswith('TRANSFER')], signal.getsignal(signal.SIGINT).__name__)"
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TRANSFER_EXP_TRUST": "mine"}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["[]", "default_int_handler"]

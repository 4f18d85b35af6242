"""The tests of metrics and perturbations run where torch is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKED_PYTEST = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "timm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import pytest

plugins = [f"-pno:{name}" for name in ("cacheprovider", "jaxtyping", "xdist")]
sys.exit(pytest.main(["-q", *plugins, "-oaddopts=", "--assert=plain", "-k", "golden and separable", *sys.argv[1:]]))
"""


@pytest.mark.slow
def test_all_tests_can_be_collected_and_the_golden_ones_pass_without_torch():
    folders = [str(ROOT / "tests" / name) for name in ("metric", "perturbation")]
    command = [sys.executable, "-c", BLOCKED_PYTEST, f"--ignore={__file__}", *folders]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stdout + process.stderr
    assert " passed" in process.stdout
    assert "skipped" not in process.stdout

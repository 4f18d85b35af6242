"""A missing device, arrays without their pool and wrong options of a regime are refused before torch is imported."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.command import SMALL_DATASET, run_command
from transfer_exp.cli import settings
from transfer_exp.cli.settings import check_job
from transfer_exp.errors import InputError

ARRAYS = {"dataset": "transfer_exp.dataset.arrays.arrays", "model_pool": "transfer_exp.model_pool.arrays.arrays"}
IMAGES = {"dataset": "transfer_exp.dataset.digits.digits", "model_pool": "transfer_exp.model_pool.builtin.builtin"}


def job(device="auto", regime_device="auto", **targets):
    groups = {group: {"_target_": target} for group, target in (IMAGES | targets).items()}
    return {"device": device, "ground_truth": {"device": regime_device}, **groups}


@pytest.fixture
def torch_version(tmp_path, monkeypatch):
    """Return a function that puts a text in the place of the version file of torch."""
    monkeypatch.setattr(settings, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    return lambda text: (tmp_path / "version.py").write_text(text)


def test_a_build_of_torch_without_cuda_has_no_cuda_device(torch_version):
    torch_version("cuda: Optional[str] = None\nhip: Optional[str] = None\n")
    for wrong in (job("cuda"), job("cuda:1"), job(regime_device="cuda")):
        with pytest.raises(InputError, match=r"device 'cuda(:1)?' is not available: use device=cpu"):
            check_job(wrong)
    check_job(job("cpu"))


@pytest.mark.parametrize("text", ["cuda: Optional[str] = '12.4'\nhip: Optional[str] = None\n", "cuda = None\n", ""])
def test_a_build_that_may_have_cuda_is_asked_later(torch_version, text):
    torch_version(text)
    check_job(job("cuda"))


def test_the_installed_torch_is_read():
    import torch

    assert settings._may_have_cuda() == (torch.version.cuda is not None or torch.version.hip is not None)


def test_mps_is_only_on_macos(monkeypatch):
    monkeypatch.setattr(settings.sys, "platform", "linux")
    with pytest.raises(InputError, match="device 'mps' is not available"):
        check_job(job("mps"))


def test_arrays_and_their_pool_go_together():
    for group in ARRAYS:
        with pytest.raises(InputError, match="go together: set both or neither"):
            check_job(job(**{group: ARRAYS[group]}))
    check_job(job(**ARRAYS))
    check_job(job(dataset="mine.arrays.arrays"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ground_truth=lora", "ground_truth.rank=0"), "ground_truth.rank=0: need at least 1"),
        (("ground_truth=lora", "ground_truth.target_modules=5"), "ground_truth.target_modules=5: need a list of names"),
        (("ground_truth=partial", "ground_truth.fraction=2"), "ground_truth.fraction=2: need a share above 0, up to 1"),
        (("ground_truth=full", "protocol.steps=0"), "protocol.steps=0: need at least 1"),
        (("metric=static_rank",), "static_rank needs accuracies on other targets: set ground_truth=table"),
    ],
)
@pytest.mark.parametrize("command", ["run", "rank"])
def test_wrong_options_of_a_regime_are_refused_before_torch_is_imported(
    command, arguments, message, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "transfer_exp.features.extraction", None)
    for name in (f"photos/{label}/{i}.png" for label in "ab" for i in range(6)):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    start = ("photos", "--pool", "builtin", "inspect=false") if command == "rank" else (*SMALL_DATASET, "tracker=none")
    process = run_command(tmp_path, command, *start, *arguments)
    assert (process.returncode, process.stderr.count("\n")) == (1, 1), process.stderr
    assert process.stderr.startswith(f"transfer_exp: {message}")


@pytest.mark.slow
def test_wrong_options_in_a_list_of_regimes_are_refused_before_torch_is_imported(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "transfer_exp.features.extraction", None)
    (tmp_path / "a").mkdir()
    process = run_command(tmp_path, "rank", ".", "--then", "fine-tune", "--regimes", "full,lora(rank=0)")
    assert process.stderr == "transfer_exp: ground_truth.rank=0: need at least 1\n"

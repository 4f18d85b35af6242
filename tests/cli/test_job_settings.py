"""A device that is missing and arrays without their pool are refused before torch is imported."""

from types import SimpleNamespace

import pytest

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

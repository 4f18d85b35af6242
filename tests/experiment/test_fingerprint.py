"""What decides a score, as plain data: the same for what computes the same, another for anything else."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from transfer_exp.experiment.fingerprint import UnknownSettingsError, code_of, fingerprint
from transfer_exp.io.atomic import digest
from transfer_exp.metric.emms import EMMS
from transfer_exp.metric.fusion import Fusion
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.lda import LDA
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.sequence import Sequence
from transfer_exp.perturbation.strength_path import StrengthPath


@dataclass(frozen=True)
class _Holds:
    value: Any


def _key(thing):
    return digest({"of": fingerprint(thing)})


SETTINGS = [
    *(KNN(), KNN(k=7), LDA(), Fusion((KNN(), LDA())), Fusion((LDA(), KNN())), Fusion((KNN(k=7), LDA()))),
    *(Attract(), Attract(alpha=0.2), Pca(), Pca(dim=3), Sequence((Pca(), Attract())), Sequence((Attract(), Pca()))),
    *(StrengthPath(), StrengthPath(strengths=(0.0, 0.1)), StrengthPath(Attract(sigma=0.3))),
]


def test_settings_that_differ_at_any_depth_are_other_data():
    assert len({_key(thing) for thing in SETTINGS}) == len(SETTINGS)
    assert _key(Fusion((KNN(k=7), LDA()))) == _key(Fusion((KNN(k=7), LDA())))


def test_one_is_not_true_and_no_text():
    assert len({_key(_Holds(value)) for value in (1, True, "1", None, (1,), ((1,),), 1.5)}) == 7


def test_a_file_counts_by_what_is_in_it(tmp_path):
    path = tmp_path / "embeddings.npz"
    before = _key(EMMS(embeddings=str(path)))
    path.write_bytes(b"one")
    first = _key(EMMS(embeddings=str(path)))
    path.rename(tmp_path / "again.npz")
    assert _key(EMMS(embeddings=str(tmp_path / "again.npz"))) == first != before
    (tmp_path / "again.npz").write_bytes(b"two")
    assert _key(EMMS(embeddings=str(tmp_path / "again.npz"))) != first


@pytest.mark.parametrize("text", ["\0", "n" * 5000, "~nobody-here/x", "together"])
def test_a_text_that_names_no_file_is_itself(text):
    assert fingerprint(text) == text


@pytest.mark.parametrize("value", [np.ones(3), {"a": 1}, lambda: 1, object(), KNN, [1]])
def test_what_cannot_be_told_is_refused_at_any_depth(value):
    with pytest.raises(UnknownSettingsError):
        fingerprint(_Holds((1, _Holds(value))))


def test_a_folder_is_refused_for_its_files_decide(tmp_path):
    with pytest.raises(UnknownSettingsError, match="folder"):
        fingerprint(str(tmp_path))


@pytest.mark.parametrize("bare", [False, True])
def test_a_change_of_any_file_of_a_package_is_other_code(bare, tmp_path, monkeypatch):
    package = tmp_path / "laboratory"
    package.mkdir()
    if not bare:
        (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("LEVEL = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    first = code_of("laboratory.metric.mine")
    assert code_of("laboratory") == first != code_of("transfer_exp")
    (package / "helper.py").write_text("LEVEL = 20\n")
    assert code_of("laboratory") != first


def test_a_single_file_is_a_package_too(tmp_path, monkeypatch):
    (tmp_path / "lone_metric.py").write_text("LEVEL = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert len(code_of("lone_metric")) == 64


@pytest.mark.parametrize("module", ["__main__", "nowhere_at_all", "sys"])
def test_code_without_files_is_refused(module):
    with pytest.raises(UnknownSettingsError, match=module):
        code_of(module)

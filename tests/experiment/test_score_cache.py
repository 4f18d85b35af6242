"""Score cache: a score is read only if everything that decides it is unchanged, and the key holds all of that."""

from __future__ import annotations

import importlib
import logging
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from transfer_exp.errors import InputError
from transfer_exp.experiment import score_cache as score_cache_module
from transfer_exp.experiment.score_cache import ScoreCache, fingerprint
from transfer_exp.experiment.scoring import Scoring
from transfer_exp.features.extraction import Extractor
from transfer_exp.features.model_on_target import ModelArrays, pair
from transfer_exp.ground_truth.regime import NoGroundTruth
from transfer_exp.io.atomic import digest
from transfer_exp.io.code import UncacheableError, code_digest
from transfer_exp.metric.emms import EMMS
from transfer_exp.metric.fusion import Fusion
from transfer_exp.metric.knn import KNN
from transfer_exp.metric.lda import LDA
from transfer_exp.metric.logme import LogME
from transfer_exp.metric.parameter_count import ParameterCount
from transfer_exp.model_pool.builtin import builtin
from transfer_exp.perturbation.attract import Attract
from transfer_exp.perturbation.none import NoPerturbation
from transfer_exp.perturbation.pca import Pca
from transfer_exp.perturbation.sequence import Sequence
from transfer_exp.perturbation.strength_path import StrengthPath
from transfer_exp.progress import progress_bars

pytestmark = pytest.mark.slow

NAMES = ("resnet_glyphs", "vit_shapes")
SCORING = Scoring(KNN(), NoPerturbation(), 0)


@pytest.fixture
def pairings(store, dataset):
    """Return a function that pairs the models with a dataset, as each run does."""

    def make(target=dataset, names=NAMES):
        with progress_bars(1, "models") as (track, _):
            extractor = Extractor(store, "cpu", 16, 0, track)
        return [pair(candidate, target, extractor) for candidate in builtin(names).candidates]

    return make


def _run(store, pairings, scoring=SCORING):
    """Return the parts of each model's score, and how many models were read from the cache."""
    with ScoreCache(scoring, store, "target") as score_cache:
        parts = [score_cache.compute_parts(pairing, NoGroundTruth()) for pairing in pairings]
    return parts, sum(pairing.cache_hits.get("scores", False) for pairing in pairings)


def test_a_second_run_reads_bit_identical_scores_and_no_features(store, pairings, monkeypatch):
    first, n_read = _run(store, pairings())
    assert n_read == 0
    assert first == [SCORING.compute_parts(pairing, NoGroundTruth()) for pairing in pairings()]
    monkeypatch.setattr(Scoring, "compute_parts", lambda *_: pytest.fail("scored again"))
    monkeypatch.setattr(Extractor, "__call__", lambda *_: pytest.fail("read features"))
    assert _run(store, pairings()) == (first, 2)


def test_the_steps_of_a_path_keep_their_order(store, pairings):
    path = Scoring(LogME(), StrengthPath(Attract(), "alpha", (0.0, 0.5, 2.0, 10.0)), 0)
    computed, read = (_run(store, pairings(), path) for _ in range(2))
    assert read[1] == 2
    assert [list(parts) for parts in read[0]] == [["alpha=0", "alpha=0.5", "alpha=2", "alpha=10"]] * 2
    assert path.combine(read[0]) == path.combine(computed[0])


def test_scores_of_further_models_are_added_to_the_same_file(store, pairings):
    _run(store, pairings(names=NAMES[:1]))
    assert _run(store, pairings())[1] == 1
    assert _run(store, pairings())[1] == 2
    assert len(list((store.root / "scores").rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "scoring",
    [
        Scoring(KNN(k=3), NoPerturbation(), 0),
        Scoring(KNN(), Attract(), 0),
        Scoring(KNN(), NoPerturbation(), 1),
        Scoring(LogME(), NoPerturbation(), 0),
    ],
)
def test_another_metric_perturbation_or_seed_is_scored_again(store, pairings, scoring):
    _run(store, pairings())
    assert _run(store, pairings(), scoring)[1] == 0


def test_other_labels_or_code_are_scored_again(store, pairings, dataset, monkeypatch):
    _run(store, pairings())
    shifted = replace(dataset.scoring_set, labels=np.roll(dataset.scoring_set.labels, 1))
    assert _run(store, pairings(replace(dataset, scoring_set=shifted)))[1] == 0
    monkeypatch.setattr("transfer_exp.experiment.score_cache.code_digest", lambda _: "edited")
    assert _run(store, pairings())[1] == 0


def test_scores_of_the_users_own_metric_and_perturbation_depend_on_the_code_of_this_package(
    store, pairings, monkeypatch
):
    digests = {"transfer_exp": "first"}
    monkeypatch.setattr(score_cache_module, "code_digest", lambda module: digests.get(module.partition(".")[0], "user"))
    users_own = Scoring(_UsersMetric(), _UsersPerturbation(), 0)
    _run(store, pairings(), users_own)
    assert _run(store, pairings(), users_own)[1] == 2
    digests["transfer_exp"] = "second"
    assert _run(store, pairings(), users_own)[1] == 0


@dataclass(frozen=True)
class _UsersMetric(KNN):
    """A metric outside of the package."""


@dataclass(frozen=True)
class _UsersPerturbation(NoPerturbation):
    """A perturbation outside of the package."""


@dataclass(frozen=True)
class _OpaqueField(KNN):
    """A metric with a field that is not plain data."""

    pool: object = None


@pytest.mark.parametrize("metric", [ParameterCount(), replace(_OpaqueField(), pool=object())], ids=["model", "opaque"])
def test_scores_that_need_the_model_or_have_opaque_settings_are_not_cached(store, pairings, metric):
    for _ in range(2):
        assert _run(store, pairings(), Scoring(metric, NoPerturbation(), 0))[1] == 0
    assert not (store.root / "scores").exists()


def test_scores_of_the_users_arrays_are_not_cached_and_have_no_key(store, tmp_path, monkeypatch):
    from transfer_exp.dataset.arrays import arrays

    monkeypatch.setattr(score_cache_module, "code_digest", lambda _: pytest.fail("read the code of the package"))
    labels = np.arange(20) % 2
    for scale in (1.0, 2.0):
        np.savez(tmp_path / "net.npz", features=scale * np.eye(2)[labels], labels=labels)
        _run(store, [ModelArrays("net", arrays(str(tmp_path)))], Scoring(KNN(), NoPerturbation(), 0))
    assert not (store.root / "scores").exists()


def test_scores_computed_before_an_error_are_saved(store, pairings):
    with suppress(RuntimeError), ScoreCache(SCORING, store, "target") as score_cache:
        score_cache.compute_parts(pairings()[0], NoGroundTruth())
        raise RuntimeError
    assert _run(store, pairings())[1] == 1


def test_scores_of_a_long_cell_are_saved_while_it_runs(store, pairings, monkeypatch):
    monkeypatch.setattr("transfer_exp.experiment.score_cache._SAVE_INTERVAL", -1.0)
    with ScoreCache(SCORING, store, "target") as score_cache:
        for pairing in pairings():
            score_cache.compute_parts(pairing, NoGroundTruth())
        assert _run(store, pairings())[1] == 2


def test_a_store_that_cannot_be_written_is_a_warning_and_the_scores_are_returned(store, pairings, monkeypatch, caplog):
    expected, _ = _run(store, pairings())

    def refuse(*_):
        raise InputError("cannot write to the store")

    monkeypatch.setattr(type(store), "update_record", refuse)
    assert _run(store, pairings(), replace(SCORING, seed=1)) == (expected, 0)
    assert "scores are not cached: cannot write to the store" in caplog.text


def test_damaged_scores_are_a_warning_and_are_computed_again(store, pairings, caplog):
    first, _ = _run(store, pairings())
    (path,) = (store.root / "scores").rglob("*.json")
    path.write_text(path.read_text().replace("score", "scare", 1))
    assert _run(store, pairings()) == (first, 0)
    assert "damaged" in caplog.text
    assert _run(store, pairings()) == (first, 2)


def test_the_features_behind_a_cached_score_count_as_used_if_they_are_in_the_store(store, pairings):
    _run(store, pairings())
    again = pairings()
    _run(store, again)
    assert [len(list(pairing.cache_references())) for pairing in again] == [1, 1]
    for path in (store.root / "features").rglob("*.safetensors"):
        path.unlink()
    again = pairings()
    assert _run(store, again)[1] == 2
    assert [list(pairing.cache_references()) for pairing in again] == [[], []]


@dataclass(frozen=True)
class _Holder:
    value: Any


def _key(value):
    return digest({"of": fingerprint(value)})


SETTINGS = [
    *(KNN(), KNN(k=7), LDA(), Fusion((KNN(), LDA())), Fusion((LDA(), KNN())), Fusion((KNN(k=7), LDA()))),
    *(Attract(), Attract(alpha=0.2), Pca(), Pca(dim=3), Sequence((Pca(), Attract())), Sequence((Attract(), Pca()))),
    *(StrengthPath(), StrengthPath(strengths=(0.0, 0.1)), StrengthPath(Attract(sigma=0.3))),
]


def test_settings_that_differ_at_any_depth_have_different_fingerprints():
    assert len({_key(value) for value in SETTINGS}) == len(SETTINGS)
    assert _key(Fusion((KNN(k=7), LDA()))) == _key(Fusion((KNN(k=7), LDA())))


def test_values_of_different_types_have_different_fingerprints():
    assert len({_key(_Holder(value)) for value in (1, True, "1", None, (1,), ((1,),), 1.5)}) == 7


def test_the_fingerprint_of_a_file_is_its_content(tmp_path):
    path, renamed = tmp_path / "embeddings.npz", tmp_path / "renamed.npz"
    missing = _key(EMMS(embeddings=str(path)))
    path.write_bytes(b"one")
    first = _key(EMMS(embeddings=str(path)))
    path.rename(renamed)
    assert _key(EMMS(embeddings=str(renamed))) == first != missing
    renamed.write_bytes(b"two")
    assert _key(EMMS(embeddings=str(renamed))) != first


@pytest.mark.parametrize("text", ["", "\0", "n" * 5000, "~nobody-here/x", "together"])
def test_the_fingerprint_of_a_text_that_is_not_a_file_is_the_text(text):
    assert fingerprint(text) == text


@pytest.mark.parametrize("value", [np.ones(3), {"a": 1}, lambda: 1, object(), KNN, [1]])
def test_values_that_are_not_plain_are_uncacheable_at_any_depth(value):
    with pytest.raises(UncacheableError):
        fingerprint(_Holder((1, _Holder(value))))


def test_a_folder_is_uncacheable(tmp_path):
    with pytest.raises(UncacheableError, match="folder"):
        fingerprint(str(tmp_path))


def test_the_reason_for_not_caching_is_logged(store, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    assert ScoreCache(Scoring(EMMS(str(tmp_path)), NoPerturbation(), 0), store, "target")._key is None
    assert f"scores are not cached: the setting '{tmp_path}' is a folder" in caplog.text


@pytest.mark.parametrize("is_namespace", [False, True])
def test_another_process_gets_another_code_digest_after_a_change_of_any_file(is_namespace, tmp_path, monkeypatch):
    package = tmp_path / "laboratory"
    package.mkdir()
    if not is_namespace:
        (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("LEVEL = 1\n")
    monkeypatch.setattr("transfer_exp.io.code._digests", {})
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    first = code_digest("laboratory.metric.mine")
    assert code_digest("laboratory") == first != code_digest("transfer_exp")
    (package / "helper.py").write_text("LEVEL = 20\n")
    with pytest.raises(UncacheableError, match="laboratory was edited while this process runs"):
        code_digest("laboratory")
    monkeypatch.setattr("transfer_exp.io.code._digests", {})
    assert code_digest("laboratory") != first


def test_a_module_outside_a_package_has_a_code_digest(tmp_path, monkeypatch):
    (tmp_path / "single_metric.py").write_text("LEVEL = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert len(code_digest("single_metric")) == 64


@pytest.mark.parametrize("module", ["__main__", "nowhere_at_all", "sys"])
def test_code_without_source_files_is_uncacheable(module, monkeypatch):
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))  # that of a notebook
    with pytest.raises(UncacheableError, match=module):
        code_digest(module)

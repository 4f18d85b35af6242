"""The hub is asked once whether it answers, and its client left offline where it does not."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from transfer_exp.model_pool import hub


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub.settle_hub.cache_clear()
    yield
    hub.settle_hub.cache_clear()


def test_a_hub_that_does_not_answer_is_asked_once_and_left_alone(monkeypatch, caplog):
    asked = []
    monkeypatch.setattr(hub, "answer", lambda url: asked.append(url) or "not reached (no such name)")
    hub.settle_hub()
    hub.settle_hub()
    assert asked == ["https://huggingface.co"]
    assert constants.HF_HUB_OFFLINE
    assert "not reached (no such name): only weights that are cached will be found" in caplog.text


def test_a_hub_that_answers_is_used(monkeypatch):
    monkeypatch.setattr(hub, "answer", lambda url: "reached")
    hub.settle_hub()
    assert not constants.HF_HUB_OFFLINE


def test_who_asks_for_offline_is_not_connected(monkeypatch):
    monkeypatch.setattr(hub, "answer", lambda url: pytest.fail("asked"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.settle_hub()

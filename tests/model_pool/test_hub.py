"""The hub is checked once per process, and its client is set to offline mode when the hub does not answer."""

from __future__ import annotations

import pytest
from huggingface_hub import constants

from transfer_exp.model_pool import hub


@pytest.fixture(autouse=True)
def reset_hub(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    hub.go_offline_if_unreachable.cache_clear()
    yield
    hub.go_offline_if_unreachable.cache_clear()


def test_an_unreachable_hub_is_checked_once_and_then_not_used(monkeypatch, caplog):
    urls = []
    monkeypatch.setattr(hub, "check_connection", lambda url: urls.append(url) or "not reached (no such name)")
    hub.go_offline_if_unreachable()
    hub.go_offline_if_unreachable()
    assert urls == ["https://huggingface.co"]
    assert constants.HF_HUB_OFFLINE
    assert "not reached (no such name): only cached weights are available" in caplog.text


def test_a_reachable_hub_is_used(monkeypatch):
    monkeypatch.setattr(hub, "check_connection", lambda url: "reached")
    hub.go_offline_if_unreachable()
    assert not constants.HF_HUB_OFFLINE


def test_the_offline_variable_prevents_any_connection(monkeypatch):
    monkeypatch.setattr(hub, "check_connection", lambda url: pytest.fail("connected"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.go_offline_if_unreachable()

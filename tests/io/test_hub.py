"""The hub is checked once per process, and its client is set to offline mode when the hub does not answer."""

from __future__ import annotations

import pytest
from huggingface_hub import constants
from huggingface_hub import logging as client_logging

from transfer_exp.io import hub


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
    assert "not reached (no such name): only cached files are available" in caplog.text


def test_a_reachable_hub_is_used(monkeypatch):
    monkeypatch.setattr(hub, "check_connection", lambda url: "reached")
    hub.go_offline_if_unreachable()
    assert not constants.HF_HUB_OFFLINE


@pytest.mark.parametrize(("variable", "level"), [(None, "ERROR"), ("info", "INFO")])
def test_retries_of_the_client_are_printed_only_if_the_environment_asks_for_them(monkeypatch, variable, level):
    monkeypatch.setattr(hub, "check_connection", lambda url: "reached")
    if variable is not None:
        monkeypatch.setenv("HF_HUB_VERBOSITY", variable)
    client_logging.set_verbosity_info()
    hub.go_offline_if_unreachable()
    assert client_logging.get_verbosity() == getattr(client_logging, level)
    client_logging.set_verbosity_warning()


def test_the_offline_variable_prevents_any_connection(monkeypatch):
    monkeypatch.setattr(hub, "check_connection", lambda url: pytest.fail("connected"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    hub.go_offline_if_unreachable()

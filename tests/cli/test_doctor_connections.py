"""The network is asked for a moment and only if it may be; W&B is described without a secret."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from transfer_exp.cli.doctor import connections
from transfer_exp.cli.doctor.connections import network, wandb_state
from transfer_exp.model_pool import hub

SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    """Return the address of a server that refuses every request, and the list of what was asked of it."""
    asked = []

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            asked.append(self.path)
            self.send_error(403)

        def log_message(self, *text):
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", asked
        running.shutdown()


def both(monkeypatch, url):
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    return {fact.name: fact.text for fact in network()}


def test_any_answer_is_an_answer(server, monkeypatch):
    assert both(monkeypatch, server[0]) == {
        "network Hugging Face": "127.0.0.1: reached",
        "network W&B": "127.0.0.1: reached",
    }
    assert len(server[1]) == 2


@pytest.mark.parametrize("said", ["1", "true", "YES"])
def test_who_is_offline_by_choice_is_not_asked(server, monkeypatch, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", said)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert set(both(monkeypatch, server[0]).values()) == {"not asked, as the environment says offline"}
    assert server[1] == []


def test_one_that_answers_is_a_network(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", server[0])
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    found = {fact.name: fact.text for fact in network()}
    assert found["network Hugging Face"] == "127.0.0.1: reached"
    assert found["network W&B"].startswith("127.0.0.1: not reached (")
    assert "no network" not in found


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no address", "http://[::1", "http://user:key@127.0.0.1"])
def test_no_network_says_what_works_without(monkeypatch, url):
    found = both(monkeypatch, url)
    assert "offline works with model_pool=builtin" in found["no network"]
    assert "key" not in found["network W&B"]


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    monkeypatch.setattr(connections, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = both(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "no network" in found
    assert "timed out" in found["network W&B"] or "no answer" in found["network W&B"]


def test_a_name_that_is_looked_up_for_ever_is_not_waited_for(monkeypatch):
    for_ever = threading.Event()
    monkeypatch.setattr(connections, "TIMEOUT", 0.05)
    monkeypatch.setattr(connections, "check_connection", lambda url: str(for_ever.wait(30)))
    assert both(monkeypatch, "http://example.org")["network W&B"] == "example.org: no answer"
    for_ever.set()


def state(folder="outputs"):
    return {fact.name: fact.text for fact in wandb_state(connections.Path(folder))}


def test_a_key_is_known_by_where_it_is_and_never_said(tmp_path, monkeypatch):
    assert state()["W&B login"].startswith("no key for api.wandb.ai: wandb login")
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {SECRET}\n")
    assert state()["W&B login"] == f"a key for api.wandb.ai in {tmp_path / '.netrc'}"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert state()["W&B login"].startswith("no key for wandb.example.org")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    assert state()["W&B login"] == "a key in WANDB_API_KEY"
    assert SECRET not in str(state())


@pytest.mark.parametrize("content", [f"{SECRET}\n".encode(), b"machine api.wandb.ai password \xff\xfe", b"machine"])
def test_a_netrc_that_cannot_be_read_is_told_without_what_it_holds(tmp_path, monkeypatch, content):
    monkeypatch.setenv("NETRC", str(tmp_path / "mine"))
    (tmp_path / "mine").write_bytes(content)
    said = state()["W&B login"]
    assert str(tmp_path / "mine") in said or said.startswith("no key")
    assert SECRET not in said


def test_the_mode_is_that_of_the_tracker_whatever_the_environment_says(monkeypatch):
    assert state()["W&B mode"] == "as tracker.mode says, offline unless set"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert state()["W&B mode"].endswith("WANDB_MODE=online changes nothing")


def test_runs_that_were_not_uploaded_are_counted(tmp_path):
    assert state()["W&B runs"] == "none below outputs that is not uploaded"
    for name in ("runs/a/wandb/offline-run-1", "sweeps/s/0/wandb/offline-run-2", "sweeps/s/1/wandb/offline-run-3"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / "a" / "wandb" / "latest-run").symlink_to("offline-run-1")
    (tmp_path / "outputs" / "sweeps" / "s" / "1" / "wandb" / "offline-run-3" / "run-3.wandb.synced").touch()
    (tmp_path / "outputs" / "runs" / "a" / "wandb" / "run-4").mkdir()
    assert state()["W&B runs"] == (
        "2 below outputs not uploaded; the last: wandb sync outputs/sweeps/s/0/wandb/offline-run-2"
    )

"""``transfer-exp doctor`` reports the installation without changing it, marks what is broken, and prints no secret."""

from __future__ import annotations

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from transfer_exp import __version__
from transfer_exp.cli import doctor
from transfer_exp.cli.doctor import check_downloads, check_network, check_store, check_wandb, main
from transfer_exp.io import hub
from transfer_exp.store import Store

ROOT = Path(__file__).parents[2]
OFFLINE = {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}
ONLINE = ("HF_HUB_OFFLINE", "WANDB_MODE")
SECRET = "0123456789abcdef"


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """Run in an empty folder, which is also the home, with the environment set to offline."""
    monkeypatch.chdir(tmp_path)
    variables = {**OFFLINE, "HOME": str(tmp_path), "TORCH_HOME": str(tmp_path / "torch"), "no_proxy": "*"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for name in ("WANDB_API_KEY", "NETRC", "TRANSFER_EXP_DATA", "WANDB_BASE_URL", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _online(monkeypatch):
    for name in ONLINE:
        monkeypatch.delenv(name)


def texts(findings):
    return {finding.name: finding.text for finding in findings}


def test_a_complete_installation_has_exit_code_0_and_every_subject_is_reported(capsys, tmp_path):
    assert main([]) == 0
    output, errors = capsys.readouterr()
    assert errors == ""
    names = [line.split(":")[0] for line in output.splitlines()]
    for name in ("transfer_exp", "Python", "libraries", "device cpu", "store", "torch hub", "W&B login", "W&B runs"):
        assert name in names
    assert not list(tmp_path.iterdir())
    assert output.startswith(f"transfer_exp: {__version__} in {ROOT / 'transfer_exp'}\n")
    assert f"torch {torch.__version__}" in output
    assert "BROKEN" not in output
    assert output.splitlines()[-1].startswith("ready: everything that a run needs works")


def test_the_summary_names_what_is_missing_and_a_terminal_of_80_columns_shows_every_word(capsys, monkeypatch):
    findings = [doctor.Finding("libraries", "a library 1.0, " * 20), doctor.Finding("gpu", "none", without="a GPU")]
    monkeypatch.setattr(doctor, "_findings", lambda store: iter(findings))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].startswith("    ")
    assert lines[-1] == "ready: everything that a run needs works; without a GPU"


def test_a_broken_library_is_marked_and_ends_with_exit_code_1(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main([]) == 1
    output = capsys.readouterr()
    assert "BROKEN torch: cannot be loaded (" in output.out
    assert output.err == "transfer_exp: broken: torch: a run needs them, see the lines that begin with BROKEN\n"
    assert "ready" not in output.out


def test_a_wrong_argument_gets_one_line(capsys):
    assert main(["--all"]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == "transfer_exp: unrecognized arguments: --all: see transfer-exp doctor --help\n"


def check_libraries(monkeypatch, *requirements):
    extras = SimpleNamespace(get_all=lambda name: ["slurm", "ray"])
    monkeypatch.setattr(doctor, "requires", lambda name: list(requirements))
    monkeypatch.setattr(doctor, "metadata", lambda name: extras)
    return {finding.name: (finding.text, finding.is_broken) for finding in doctor.check_libraries()}


def test_a_missing_or_too_old_library_is_broken(monkeypatch):
    findings = check_libraries(monkeypatch, "numpy>=1", "scipy>=99", "no-such-library>=2")
    assert findings["libraries"][0].startswith("numpy ")
    assert "," not in findings["libraries"][0]
    assert findings["scipy"][1]
    assert findings["scipy"][0].endswith(", needed is scipy>=99: pip install 'scipy>=99'")
    assert findings["no-such-library"] == (
        "missing, needed is no-such-library>=2: pip install 'no-such-library>=2'",
        True,
    )


def test_a_missing_extra_is_not_broken_and_its_install_command_is_printed(monkeypatch):
    findings = check_libraries(monkeypatch, "numpy", "no-such-library; extra == 'slurm'", "scipy>=1; extra == 'ray'")
    assert findings["extra slurm"] == ("without no-such-library (missing): pip install 'transfer-exp[slurm]'", False)
    assert findings["extra ray"] == ("present", False)


def test_requirements_of_other_python_versions_are_ignored(monkeypatch):
    assert "no-such-library" not in check_libraries(monkeypatch, "no-such-library; python_version < '3'")


def test_a_package_that_is_not_installed_is_broken(monkeypatch):
    monkeypatch.setattr(doctor, "_PACKAGE", "no-such-package")
    (finding,) = doctor.check_libraries()
    assert finding.is_broken
    assert finding.text.startswith("no-such-package is not installed")


def test_every_gpu_is_listed_with_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    properties = SimpleNamespace(name="H200", total_memory=140 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: properties)
    devices = texts(doctor.check_devices())
    assert devices["device cuda:0"] == devices["device cuda:1"] == "H200, 140 GB of memory"
    assert "device cuda" not in devices


def test_the_store_is_listed_with_its_size_and_is_broken_if_it_cannot_be_created(tmp_path):
    assert check_store(tmp_path / "deep" / "store").text == "deep/store, not created yet"
    store = Store(tmp_path / "store")
    store.get_or_compute_record("accuracy", {}, lambda: {"value": 1})
    (file,) = store.root.rglob("*.json")
    assert check_store(store.root).text == f"store, 1 entries, {file.stat().st_size} B"
    for path in (file, file / "below"):
        finding = check_store(path)
        assert finding.is_broken
        assert "cannot be created: set store=FOLDER" in finding.text


def test_downloads_are_listed_with_their_sizes(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "images.tar").write_bytes(b"x" * 2000)
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "hub" / "checkpoints" / "net.pth").write_bytes(b"x" * 3000)
    monkeypatch.setenv("TRANSFER_EXP_DATA", "mine")
    downloads = texts(check_downloads())
    assert downloads["data folder"] == "mine, 2 kB in 1 files"
    assert downloads["torch hub"] == "torch/hub, 3 kB in 1 files"


def test_the_size_of_a_folder_counts_linked_files_once_and_stops_in_a_huge_folder(tmp_path, monkeypatch):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "a").write_bytes(b"x" * 5000)
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "net").symlink_to("../blobs/a")
    (tmp_path / "snapshots" / "all").symlink_to("..")
    assert doctor._folder_size(tmp_path) == "5.01 kB in 2 files"
    monkeypatch.setattr(doctor, "_MOST_FILES", 1)
    (tmp_path / "blobs" / "b").write_bytes(b"x" * 5000)
    assert doctor._folder_size(tmp_path / "blobs") == "more than 5 kB (only 1 files were counted)"


@pytest.fixture
def server():
    """Return the address of a server that refuses every request, and the list of requested paths."""
    requests = []

    class Refusing(BaseHTTPRequestHandler):
        def do_HEAD(self):
            requests.append(self.path)
            self.send_error(403)

        def log_message(self, *text):
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}", requests
        running.shutdown()


def check_both(monkeypatch, url):
    """Return the findings where the hub and W&B have the same URL."""
    monkeypatch.setenv("HF_ENDPOINT", url)
    monkeypatch.setenv("WANDB_BASE_URL", url)
    return texts(check_network())


@pytest.mark.usefixtures("_online")
def test_a_server_that_refuses_is_reached(server, monkeypatch):
    url, requests = server
    assert check_both(monkeypatch, url) == {
        "network Hugging Face": "127.0.0.1: reached",
        "network W&B": "127.0.0.1: reached",
    }
    assert len(requests) == 2


@pytest.mark.parametrize("value", ["1", "true", "YES"])
def test_no_request_is_sent_where_the_environment_is_offline(server, monkeypatch, value):
    url, requests = server
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    assert set(check_both(monkeypatch, url).values()) == {"not checked, because the environment is set to offline"}
    assert requests == []


@pytest.mark.usefixtures("_online")
def test_one_reachable_server_is_enough_for_a_network(server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_ENDPOINT", server[0])
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:1")
    findings = texts(check_network())
    assert findings["network Hugging Face"] == "127.0.0.1: reached"
    assert findings["network W&B"].startswith("127.0.0.1: not reached (")
    assert "no network" not in findings


@pytest.mark.usefixtures("_online")
@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no address", "http://[::1", "http://user:key@127.0.0.1"])
def test_without_a_network_the_offline_options_are_listed(monkeypatch, url):
    findings = check_both(monkeypatch, url)
    assert "offline works with model_pool=builtin" in findings["no network"]
    assert "key" not in findings["network W&B"]


@pytest.mark.usefixtures("_online")
def test_a_silent_server_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(hub, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        findings = check_both(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "no network" in findings
    assert "timed out" in findings["network W&B"] or "no answer" in findings["network W&B"]


@pytest.mark.usefixtures("_online")
def test_an_endless_name_lookup_is_not_waited_for(monkeypatch):
    lookup = threading.Event()
    monkeypatch.setattr(hub, "TIMEOUT", 0.05)
    monkeypatch.setattr(hub, "check_connection", lambda url: str(lookup.wait(30)))
    assert check_both(monkeypatch, "http://example.org")["network W&B"] == "example.org: no answer"
    lookup.set()


def wandb():
    return texts(check_wandb(Path("outputs")))


def test_a_wandb_key_is_reported_by_its_location_and_never_printed(tmp_path, monkeypatch):
    assert wandb()["W&B login"].startswith("no key for api.wandb.ai: run wandb login")
    (tmp_path / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {SECRET}\n")
    assert wandb()["W&B login"] == f"a key for api.wandb.ai in {tmp_path / '.netrc'}"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org:8080")
    assert wandb()["W&B login"].startswith("no key for wandb.example.org")
    monkeypatch.setenv("WANDB_API_KEY", SECRET)
    assert wandb()["W&B login"] == "a key in WANDB_API_KEY"
    assert SECRET not in str(wandb())


@pytest.mark.parametrize("content", [f"{SECRET}\n".encode(), b"machine api.wandb.ai password \xff\xfe", b"machine"])
def test_an_unreadable_netrc_is_reported_without_its_content(tmp_path, monkeypatch, content):
    monkeypatch.setenv("NETRC", str(tmp_path / "mine"))
    (tmp_path / "mine").write_bytes(content)
    text = wandb()["W&B login"]
    assert str(tmp_path / "mine") in text or text.startswith("no key")
    assert SECRET not in text


@pytest.mark.usefixtures("_online")
def test_the_mode_is_that_of_the_tracker_and_not_of_the_environment(monkeypatch):
    assert wandb()["W&B mode"] == "set by tracker.mode, or else offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert wandb()["W&B mode"].endswith("or else WANDB_MODE=online")


def test_runs_that_were_not_uploaded_are_counted(tmp_path):
    assert wandb()["W&B runs"] == "all runs below outputs are uploaded, or there are none"
    for name in ("runs/a/wandb/offline-run-1", "sweeps/s/0/wandb/offline-run-2", "sweeps/s/1/wandb/offline-run-3"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "runs" / "a" / "wandb" / "latest-run").symlink_to("offline-run-1")
    (tmp_path / "outputs" / "sweeps" / "s" / "1" / "wandb" / "offline-run-3" / "run-3.wandb.synced").touch()
    (tmp_path / "outputs" / "runs" / "a" / "wandb" / "run-4").mkdir()
    assert wandb()["W&B runs"] == (
        "2 below outputs not uploaded; the last: wandb sync outputs/sweeps/s/0/wandb/offline-run-2"
    )

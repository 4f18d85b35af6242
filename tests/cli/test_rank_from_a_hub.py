"""``transfer-exp rank`` downloads a dataset and weights from a hub once, and prints no requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import save_file

from tests.dataset.example_datasets import parquet
from tests.hub_server import COMMIT, hub_server
from transfer_exp.vision import timm

NAMES = ("test_resnet.r160_in1k", "test_vit.r160_in1k")
ROOT = Path(__file__).parents[2]
pytest.importorskip("datasets", reason="needs the huggingface extra")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """Serve a dataset of two classes and weights of two small networks; return the address and the requests."""
    folder = tmp_path_factory.mktemp("hub")
    parquet(folder / "datasets" / "cats" / "dogs", {"train": [0, 1] * 20, "test": [0, 1] * 5})
    for name in NAMES:
        (folder / "models" / "timm" / name).mkdir(parents=True)
        save_file(timm.create_model(name).state_dict(), folder / "models" / "timm" / name / "model.safetensors")
    with hub_server(folder) as address_and_requests:
        yield address_and_requests


def _rank(folder: Path, url: str, target: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "HF_ENDPOINT": url, "HF_HOME": str(folder)}
    pool = ["--pool", "timm", f"model_pool.names=[{','.join(NAMES)}]"]
    command = [sys.executable, "-m", "transfer_exp", "rank", target, *pool]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.long
def test_an_id_is_ranked_and_downloaded_once(hub, tmp_path):
    url, requests = hub
    process = _rank(tmp_path, url, "cats/dogs")
    assert process.returncode == 0, process.stderr
    assert "\ndogs: 2 classes, 50 images\n" in process.stdout
    assert all(f"   {name} " in process.stdout for name in NAMES), "names are not broken on 80 columns"
    assert "HTTP" not in process.stdout + process.stderr
    downloads = [line for line in requests if line.startswith("GET") and line.endswith((".parquet", ".safetensors"))]
    assert len(downloads) == 4
    requests.clear()
    assert _rank(tmp_path, url, f"cats/dogs@{COMMIT}").returncode == 0
    assert not [line for line in requests if line.startswith("GET") and line.endswith((".parquet", ".safetensors"))]


@pytest.mark.slow
def test_an_unknown_id_gets_one_line(hub, tmp_path):
    process = _rank(tmp_path, hub[0], "cats/birds")
    assert (process.returncode, len(process.stderr.splitlines())) == (1, 1), process.stderr
    assert process.stderr.startswith("transfer_exp: cannot load dataset.id=cats/birds ")

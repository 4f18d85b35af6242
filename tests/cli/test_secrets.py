"""No secret of whoever runs it is in anything that a run or a sweep writes or prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRETS = {
    "WANDB_API_KEY": "deadbeef" * 5,
    "HF_TOKEN": "hf_PlantedTokenOfNobodyAtAll01234567",
    "netrc": "feedface" * 5,
}
SMALL = ("model_pool.names=[resnet_glyphs,vit_shapes]", "ground_truth=none", "tracker=wandb")
WAYS = {
    "a run": (0, ()),
    "a sweep with a cell that fails": (1, ("-m", "dataset.scoring_set_size=20,3")),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_is_written_or_printed(tmp_path, way):
    code, arguments = WAYS[way]
    home, places = tmp_path / "home", tmp_path / "tmp"
    for folder in (home, places):
        folder.mkdir()
    netrc = home / ".netrc"
    netrc.write_text(f"machine api.wandb.ai\n  login user\n  password {SECRETS['netrc']}\n")
    netrc.chmod(0o600)
    planted = {name: secret for name, secret in SECRETS.items() if name != "netrc"}
    variables = {**os.environ, **planted, "HOME": str(home), "TMPDIR": str(places), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "transfer_exp", *arguments, *SMALL]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, check=False)
    assert done.returncode == code, done.stderr
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path != netrc}
    # The name of a model is where a leak would be, so that the search is seen to look into all that is written.
    assert {".json", ".wandb", ".yaml"} <= {path.suffix for path, content in written.items() if b"resnet_gl" in content}
    for name, secret in SECRETS.items():
        assert secret.encode() not in done.stdout + done.stderr, name
        assert [path for path, content in written.items() if secret.encode() in content] == [], name

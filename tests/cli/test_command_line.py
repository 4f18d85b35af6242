"""What a user types, and what comes back: tables, files, exit codes; mistakes are in ``tests/bad_input``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.bad_input.files import damaged_picture

ROOT = Path(__file__).parents[2]
QUICK = ["model_pool.names=[resnet_glyphs,vit_shapes,efficientnet_gn_shapes]", "tracker=none"]


def _type(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "transfer_exp", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One working directory for all, so that they share a store."""
    return tmp_path_factory.mktemp("work")


@pytest.mark.slow
def test_a_run_ends_in_a_ranked_table_and_its_files(folder):
    done = _type(folder, *QUICK, "protocol.steps=2")
    assert done.returncode == 0, done.stderr
    assert "accuracy rank" in done.stdout
    assert "tau_w" in done.stdout
    assert "95 % null band" in done.stdout
    written = [folder / line.strip() for line in done.stdout.splitlines() if line.startswith("  outputs/")]
    assert [path.name for path in written] == ["result.json", "ranking.csv", "scatter.png", "report.html"]
    assert all(path.is_file() for path in written)
    record = json.loads(written[0].read_text())
    assert record["cell"]["ground_truth"] == "full/quick(steps=2)"
    assert record["cell"]["dataset"] == "digits"
    again = _type(folder, *QUICK, "protocol.steps=2")
    assert "scores: 3 read from the store, 0 computed" in again.stdout
    assert "accuracy: 3 read from the store, 0 computed" in again.stdout
    table = lambda text: [line for line in text.splitlines() if "_" in line and "/" not in line]  # noqa: E731
    assert table(again.stdout) == table(done.stdout)


@pytest.mark.slow
def test_a_multirun_ends_in_one_table_and_one_figure(folder):
    done = _type(
        folder, "-m", *QUICK, "perturbation=none,spread_attract", "metric=logme,sfda", "ground_truth=linear_probe"
    )
    assert done.returncode == 0, done.stderr
    assert "spread_attract" in done.stdout
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    assert len(list(sweep.rglob("result.json"))) == 4
    assert (sweep / "sweep.png").is_file()
    assert len((sweep / "sweep.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_a_grid_of_scores_ends_in_rows_that_the_next_one_joins(folder):
    two = ("-cn", "score_matrix", "model_pool.names=[resnet_glyphs,vit_shapes]", "perturbations=[none,pca]")
    done = _type(folder, *two, "metrics=['h_score','knn(k=3)']", "rows=grid/scores.csv")
    assert done.returncode == 0, done.stderr
    assert "wrote 4 rows to grid/scores.csv" in done.stdout
    again = _type(folder, *two[:3], "perturbations=[none]", "rows=grid/scores.csv")
    assert again.returncode == 0, again.stderr
    assert "static_rank on model resnet_glyphs: needs accuracies on other targets" in again.stdout
    lines = (folder / "grid" / "scores.csv").read_text().splitlines()
    assert lines[0].endswith("metric,resnet_glyphs,vit_shapes")
    every = len(list((Path(__file__).parents[2] / "conf" / "metric").glob("*.yaml")))
    assert len(lines) == 1 + 4 - 1 + every - 3, "h_score is written over; three metrics need files or accuracies"


@pytest.mark.slow
def test_a_sweep_of_grids_goes_on_after_one_that_fails_and_ends_with_exit_code_1(folder):
    grids = ("-m", "-cn", "score_matrix", "images_per_class=[null],[1]", "metrics=[h_score]")
    done = _type(folder, *grids, "model_pool.names=[resnet_glyphs,vit_shapes]", "perturbations=[none]")
    assert done.returncode == 1
    assert "wrote outputs/scores.csv" in done.stdout
    assert "1 cell(s) failed" in done.stderr
    assert "images_per_class=1: a class needs at least 2" in done.stderr


@pytest.mark.slow
def test_a_stored_sweep_is_narrowed_by_the_command_line(tmp_path):
    done = _type(tmp_path, "+sweep=demo", *QUICK, "dataset=digits", "metric=logme", "perturbation=none,pca")
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 2


@pytest.mark.slow
def test_one_failing_cell_costs_the_others_nothing(folder, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "net.npz", features=rng.normal(size=(40, 4)) + labels[:, None], labels=labels)
    options = ["dataset=arrays", f"dataset.root={tmp_path}", "ground_truth=none", "tracker=none"]
    done = _type(tmp_path, "-m", *options, "dataset.scoring_set_size=null,1")
    assert done.returncode == 1
    assert "1 cell(s) failed" in done.stderr
    assert "scoring_set_size=1" in done.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 1
    assert "Traceback" not in done.stderr


def test_help_lists_every_group_and_option():
    done = _type(ROOT, "--help")
    assert done.returncode == 0
    for group in sorted(p for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "hydra"):
        line = next(line for line in done.stdout.splitlines() if line.startswith(f"{group.name}: "))
        assert set(line.split(": ")[1].split(", ")) == {p.stem for p in group.glob("*.yaml")}


def test_version():
    assert _type(ROOT, "--version").stdout.startswith("transfer_exp 0.")


# What pip makes of the entry point, whether it is installed here or not.
ENTRY = "import sys; sys.argv[0] = 'transfer-exp'; from transfer_exp.__main__ import main; main()"
COMPLETE = """
eval "$(transfer-exp -sc install=bash)"
for typed; do
    COMP_LINE=$typed COMP_POINT=${#typed} COMP_WORDS=($typed) COMP_CWORD=$(( $(wc -w <<<"$typed") - 1 ))
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
done
"""
OFFERED = {
    "transfer-exp metric=lo": "metric=logme metric=logme_regression",
    "transfer-exp metric=sfda +sweep=de": "+sweep=demo",
    "transfer-exp do": "doctor",
    "transfer-exp cache metric=lo": "",
}


@pytest.mark.slow
def test_bash_completes_commands_groups_and_options(tmp_path):
    program = tmp_path / "transfer-exp"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ENTRY}" "$@"\n')
    program.chmod(0o755)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-c", COMPLETE, "bash", *OFFERED]
    done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert dict(zip(OFFERED, done.stdout.splitlines(), strict=True)) == OFFERED


@pytest.mark.slow
def test_weights_that_cannot_be_fetched_get_one_line_in_a_process_of_their_own(folder):
    options = ["model_pool=timm", "model_pool.names=[resnet18]", "ground_truth=none"]
    done = _type(folder, *options, HF_HUB_OFFLINE="1", HF_HOME=str(folder / "hub"))
    assert done.returncode == 1
    assert "no weights for timm model 'resnet18'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_unreadable_image_is_left_out_only_when_asked(tmp_path):
    damaged_picture(lambda path: path.write_bytes(b"not a picture"))(tmp_path)
    options = ["dataset=image_folder", "dataset.root=images", "dataset.on_unreadable=skip", "ground_truth=none"]
    done = _type(tmp_path, *QUICK, *options)
    assert done.returncode == 0, done.stderr
    assert "1.png" in done.stdout + done.stderr


@pytest.mark.slow
def test_the_wheel_works_in_any_folder(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    done = _type(tmp_path, *QUICK, "ground_truth=none", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    assert "resnet_glyphs" in done.stdout

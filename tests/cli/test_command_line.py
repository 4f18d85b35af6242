"""Commands print tables, write files and end with exit codes; wrong input is tested in ``tests/bad_input``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest
from PIL import Image

from tests.bad_input.files import damaged_picture
from tests.command import SMALL_DATASET, run_command
from transfer_exp.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]
QUICK = ["model_pool.names=[resnet_glyphs,vit_shapes,efficientnet_gn_shapes]", "tracker=none"]


def run_process(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment}
    command = [sys.executable, "-m", "transfer_exp", *arguments]
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def _result_lines(output: str) -> list[str]:
    """Return the rows of the table and tau_w, without files and cache counts."""
    return [line for line in output.splitlines() if "_" in line and "/" not in line and "store" not in line]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return one working directory for several tests, which share a store."""
    return tmp_path_factory.mktemp("work")


@pytest.mark.slow
def test_a_run_ends_in_a_ranked_table_and_its_files(folder):
    process = run_command(folder, *QUICK, *SMALL_DATASET, "protocol.steps=2")
    assert process.returncode == 0, process.stderr
    assert "accuracy rank" in process.stdout
    assert "tau_w" in process.stdout
    assert "95 % null band" in process.stdout
    written = [folder / line.strip() for line in process.stdout.splitlines() if line.startswith("  outputs/")]
    assert [path.name for path in written] == ["result.json", "ranking.csv", "scatter.png", "report.html"]
    assert all(path.is_file() for path in written)
    record = json.loads(written[0].read_text())
    assert record["cell"]["ground_truth"] == "full/quick(steps=2)"
    assert record["cell"]["dataset"] == "shapes"
    again = run_command(folder, *QUICK, *SMALL_DATASET, "protocol.steps=2")
    assert "scores: 3 read from the store, 0 computed" in again.stdout
    assert "accuracy: 3 read from the store, 0 computed" in again.stdout
    assert _result_lines(again.stdout) == _result_lines(process.stdout)


@pytest.mark.slow
def test_a_multirun_ends_in_one_table_and_one_figure(folder):
    axes = ["perturbation=none,spread_attract", "metric=logme,sfda"]
    process = run_command(folder, "-m", *QUICK, *SMALL_DATASET, *axes, "ground_truth=linear_probe")
    assert process.returncode == 0, process.stderr
    assert "spread_attract" in process.stdout
    (sweep,) = (folder / "outputs" / "sweeps").iterdir()
    assert len(list(sweep.rglob("result.json"))) == 4
    assert (sweep / "sweep.png").is_file()
    assert len((sweep / "sweep.csv").read_text().splitlines()) == 5


@pytest.mark.slow
def test_a_score_matrix_writes_rows_and_the_next_one_adds_to_them(folder):
    matrix = (
        "-cn",
        "score_matrix",
        "dataset=shapes",
        "dataset.train_per_class=10",  # enough for every metric
        "model_pool.names=[resnet_glyphs,vit_shapes]",
        "perturbations=[none,pca]",
    )
    process = run_command(folder, *matrix, "metrics=['h_score','knn(k=3)']", "rows=matrix/scores.csv")
    assert process.returncode == 0, process.stderr
    assert "wrote 4 rows to matrix/scores.csv" in process.stdout
    again = run_command(folder, *matrix[:-1], "perturbations=[none]", "rows=matrix/scores.csv")
    assert again.returncode == 0, again.stderr
    assert "static_rank on model resnet_glyphs: needs accuracies on other targets" in again.stdout
    lines = (folder / "matrix" / "scores.csv").read_text().splitlines()
    assert lines[0].endswith("metric,resnet_glyphs,vit_shapes")
    n_metrics = len(list((Path(__file__).parents[2] / "conf" / "metric").glob("*.yaml")))
    assert len(lines) == 1 + 4 - 1 + n_metrics - 3, "h_score is replaced; three metrics need files or accuracies"


@pytest.mark.slow
def test_a_sweep_of_score_matrices_continues_after_a_failure_and_ends_with_exit_code_1(folder):
    sweep = ("-m", "-cn", "score_matrix", *SMALL_DATASET, "images_per_class=[null],[1]", "metrics=[h_score]")
    process = run_command(folder, *sweep, "model_pool.names=[resnet_glyphs,vit_shapes]", "perturbations=[none]")
    assert process.returncode == 1
    assert "wrote outputs/scores.csv" in process.stdout
    assert "1 job(s) did not finish" in process.stderr
    assert "images_per_class=1: a class needs at least 2" in process.stderr


@pytest.mark.slow
def test_a_stored_sweep_is_narrowed_by_the_command_line(tmp_path):
    sweep = ["+sweep=demo", *SMALL_DATASET, "metric=logme", "perturbation=none,pca"]
    sweep += ["model_pool.names=[vit_shapes]", "ground_truth=none", "tracker=none"]
    process = run_command(tmp_path, *sweep)
    assert process.returncode == 0, process.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 2


@pytest.mark.slow
def test_a_failed_cell_does_not_end_the_other_cells(folder, tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 2
    np.savez(tmp_path / "net.npz", features=rng.normal(size=(40, 4)) + labels[:, None], labels=labels)
    options = ["dataset=arrays", f"dataset.root={tmp_path}", "ground_truth=none", "tracker=none"]
    process = run_command(tmp_path, "-m", *options, "dataset.scoring_set_size=null,1")
    assert process.returncode == 1
    assert "1 job(s) did not finish" in process.stderr
    assert "scoring_set_size=1" in process.stderr
    assert len(list(tmp_path.rglob("result.json"))) == 1
    assert "Traceback" not in process.stderr


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [("help", "config"), ("--help", "metric=sfda")])
def test_the_help_on_the_config_lists_every_group_and_option(arguments):
    process = run_command(ROOT, *arguments)
    assert process.returncode == 0
    for group in sorted(p for p in (ROOT / "conf").iterdir() if p.is_dir() and p.name != "hydra"):
        line = next(line for line in process.stdout.splitlines() if line.startswith(f"{group.name}: "))
        assert set(line.split(": ")[1].split(", ")) == {p.stem for p in group.glob("*.yaml")}


def test_version():
    assert run_command(ROOT, "--version").stdout.startswith("transfer_exp 0.")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_with_examples(command):
    process = run_command(ROOT, command, "--help", COLUMNS="80")
    assert process.returncode == 0
    assert process.stdout.startswith(f"usage: transfer-exp {command} ")
    examples = process.stdout.partition("\nexamples:\n")[2].splitlines()
    assert 2 <= len(examples) <= 4
    assert all(example.startswith(f"  transfer-exp {command}") for example in examples)
    assert all(len(line) < 80 for line in process.stdout.partition("\nexamples:\n")[0].splitlines())


def test_without_arguments_the_module_runs_an_experiment_and_the_program_shows_its_help(tmp_path, monkeypatch):
    commands: list[list[str]] = []
    monkeypatch.setattr("transfer_exp.cli.main._run_command", lambda arguments: commands.append(list(arguments)))
    run_command(tmp_path, program="python -m transfer_exp")
    run_command(tmp_path)
    assert commands == [["run"], ["help"]]


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_the_help_fits_on_a_screen_and_gives_an_example_of_every_task(arguments):
    process = run_command(ROOT, *arguments)
    assert (process.returncode, process.stderr) == (0, "")
    lines = process.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) < 80
    for task in (*COMMANDS, "sweep"):
        (position,) = (i for i, line in enumerate(lines) if line.startswith(f"  {task:<9} "))
        example = lines[position + 1].split()
        assert example[:2] == ["transfer-exp", "run" if task == "sweep" else task]


def test_help_on_a_command_is_the_help_of_the_command():
    assert run_command(ROOT, "help", "rank").stdout == run_command(ROOT, "rank", "--help").stdout
    assert run_command(ROOT, "help", "run").stdout == run_command(ROOT, "run", "metric=sfda", "--help").stdout
    assert run_command(ROOT, "help", "confg").stderr == "transfer_exp: no help on 'confg': did you mean config?\n"


def test_sweep_is_not_a_command():
    process = run_command(ROOT, "sweep", "metric=logme,sfda")
    assert process.returncode == 1
    assert "transfer-exp run -m KEY=A,B" in process.stderr


MISTAKES = {
    "cache": "say what to do",
    "rnak": "no command 'rnak': did you mean rank?",
    "metric=logmee --cfg job": "did you mean logme",
    "plan metric=logmee": "did you mean logme",
    "report absent": "absent does not exist: give the folder of a run",
    "evaluate absent.csv absent.csv": "no scores absent.csv",
    "rank absent": "give a path that exists",
    "rank photos": "holds only the class folder 'cat'",
    "rank photos --top few": "'few' is not a number of rows",
    "rank photos --budget soon": "budget=soon is not a time",
    "models=[vit_shape]": "did you mean vit_shapes",
    "device=gpu": "device 'gpu' is not available",
    "dataset=image_folder dataset.root=absent": "absent is not a folder",
    "dataset.scoring_set_size=3": "cannot hold one image of each of 10 classes",
    "metric=knn metric.k=three": "metric.k=three: need a whole number",
    "model_pool=checkpoints model_pool.root=absent": "no folder absent",
    "model_pool=timm": "model_pool.names has no value",
    "model_pool=timm model_pool.names=[resnt18]": "no model 'resnt18' in timm: did you mean resnet18",
    "model_pool=torchvision model_pool.names=[resnt18]": "no model 'resnt18' in torchvision",
    "model_pool=self_supervised models=[swaw]": "did you mean swav",
    "rank features models=[absent]": "no model 'absent' in arrays: available: mine",
    "rank cats --pool timm model_pool.names=[resnt18]": "no model 'resnt18' in timm: did you mean resnet18",
    "plan model_pool=timm model_pool.names=[resnt18]": "no model 'resnt18' in timm: did you mean resnet18",
    "plan models=[vit_shape]": "did you mean vit_shapes",
    "dataset=arrays model_pool=arrays dataset.root=absent": "neither an npz file nor a folder of them",
    "dataset=pets dataset.root=absent": "pets is missing or incomplete",
    "dataset.noise=-1": "need a number from 0 to 1",
    "perturbation=spread perturbation.force=strong": "perturbation.force=strong: need a number",
    "evaluation.k=few": "evaluation.k=few: need a whole number",
    "store=/dev/null/store": "cannot use the store",
}
"""Command line of each mistake that is reported before a large library is imported, and a part of the message."""
MISTAKES_IN_TABLES = {
    "dataset=image_table dataset.path=absent.csv": "absent.csv",
    "ground_truth=table ground_truth.path=absent.csv": "no table absent.csv",
    "-m metric=logme dataset=image_folder dataset.root=absent": "absent is not a folder",
}
"""The same for mistakes in a table, which pandas reads, and in a sweep, which writes tables after the message."""


@pytest.mark.slow
def test_help_and_mistakes_import_no_large_library(tmp_path):
    """One process, because torch is imported here already."""
    mistakes = {**MISTAKES, **MISTAKES_IN_TABLES}  # in this order: what is imported once stays
    lines = [*(f"{name} --help" for name in COMMANDS), "help", "help config", *mistakes]
    code = f"""
import sys
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from transfer_exp.__main__ import main
for line in {lines!r}:
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    sys.argv = ["transfer-exp", *line.split()]
    print("::", line, file=sys.stderr)
    try:
        main()
    except SystemExit:
        pass
    tables = [] if line in {list(MISTAKES_IN_TABLES)!r} else ["pandas", "scipy.stats"]
    large = {{"torch", "sklearn", *tables}}
    assert not large & set(sys.modules), (line, large & set(sys.modules))
"""
    (tmp_path / "features").mkdir()
    np.savez(tmp_path / "features" / "mine.npz", features=np.eye(2), labels=[0, 1])
    for name in ("siamese", "tabby"):
        (tmp_path / "cats" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "cats" / name / "1.png")
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "cat" / "1.png")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("usage: transfer-exp ") >= len(COMMANDS)
    answers = dict(part.partition("\n")[::2] for part in process.stderr.split(":: ")[1:])
    for line, message in mistakes.items():
        assert message in answers[line], line


# The program that pip creates for the entry point, which need not be installed here.
ENTRY = "import sys; sys.argv[0] = 'transfer-exp'; from transfer_exp.__main__ import main; main()"
COMPLETE = """
eval "$(transfer-exp -sc install=bash)"
for line; do
    COMP_LINE=$line COMP_POINT=${#line} COMP_WORDS=($line) COMP_CWORD=$(( $(wc -w <<<"$line") - 1 ))
    hydra_bash_completion
    echo "${COMPREPLY[@]}"
done
"""
COMPLETIONS = {
    "transfer-exp metric=lo": "metric=logme metric=logme_regression",
    "transfer-exp metric=sfda +sweep=de": "+sweep=demo",
    "transfer-exp do": "doctor",
    "transfer-exp r": "run rank report",
    "transfer-exp run metric=lo": "metric=logme metric=logme_regression",
    "transfer-exp cache metric=lo": "",
}


@pytest.mark.slow
def test_bash_completes_commands_groups_and_options(tmp_path):
    program = tmp_path / "transfer-exp"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{ENTRY}" "$@"\n')
    program.chmod(0o755)
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    command = ["bash", "-c", COMPLETE, "bash", *COMPLETIONS]
    process = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert process.stderr == ""
    assert dict(zip(COMPLETIONS, process.stdout.splitlines(), strict=True)) == COMPLETIONS


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_get_one_line(folder, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder / "hub"))
    process = run_command(folder, "model_pool=timm", "model_pool.names=[resnet18]", "ground_truth=none", "tracker=none")
    assert process.returncode == 1
    assert "no weights for timm model 'resnet18'" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_an_unreadable_image_can_be_skipped(tmp_path):
    damaged_picture(lambda path: path.write_bytes(b"not a picture"))(tmp_path)
    options = ["dataset=image_folder", "dataset.root=images", "dataset.on_unreadable=skip", "ground_truth=none"]
    process = run_command(tmp_path, *QUICK, *options)
    assert process.returncode == 0, process.stderr
    assert "1.png" in process.stdout + process.stderr


@pytest.mark.slow
def test_the_wheel_works_in_any_folder(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    process = run_process(tmp_path, *QUICK, *SMALL_DATASET, "ground_truth=none", PYTHONPATH=str(site))
    assert process.returncode == 0, process.stderr
    assert "resnet_glyphs" in process.stdout

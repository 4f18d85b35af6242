"""The notebooks run from top to bottom on what the commands they name leave in ``outputs``."""

from __future__ import annotations

import ast
import shutil
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter

from tests.command import SMALL_DATASET, run_command
from transfer_exp.evaluation.score_files import update_scores
from transfer_exp.io.accuracies import PUBLISHED

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SUPERVISED = "group1_supervised_cnn11"


def ran(name, folder, monkeypatch):
    """Run the cells of a notebook in ``folder``/notebooks; return the text and the display data that they show."""
    here, namespace, shown = folder / "notebooks", {}, []
    here.mkdir()
    monkeypatch.chdir(here)
    with redirect_stdout(StringIO()) as printed:
        for cell in nbformat.read(ROOT / "notebooks" / name, as_version=4).cells:
            if cell.cell_type == "code":
                *statements, last = ast.parse(cell.source).body
                exec(compile(ast.Module(statements, []), name, "exec"), namespace)
                if isinstance(last, ast.Expr):
                    result = eval(compile(ast.Expression(last.value), name, "eval"), namespace)
                    shown.append(DisplayFormatter().format(result)[0])
                else:
                    exec(compile(ast.Module([last], []), name, "exec"), namespace)
    texts = [data.get(kind, "") for data in shown for kind in ("text/markdown", "text/plain")]
    return "\n".join([printed.getvalue(), *texts]), shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_what_it_shows(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert sum(len(cell.source.splitlines()) for cell in code) <= 40, "what is longer belongs into the package"


@pytest.mark.slow
def test_quickstart_shows_the_last_run_and_the_last_sweep(tmp_path, monkeypatch):
    quick = ["model_pool.names=[resnet_glyphs,vit_shapes,efficientnet_gn_shapes]", "tracker=none"]
    quick += ["ground_truth=linear_probe", *SMALL_DATASET]
    for overrides in ([], ["-m", "perturbation=none,pca", "metric=logme,h_score"]):
        assert run_command(tmp_path, *overrides, *quick).returncode == 0
    text, shown = ran("quickstart.ipynb", tmp_path, monkeypatch)
    assert "shapes / none / logme" in text
    assert "95 % null band" in text
    assert "pairs" in text
    assert sum("image/png" in data for data in shown) == 2


@pytest.mark.slow
def test_the_paper_notebook_shows_the_page_of_the_scores(tmp_path, monkeypatch):
    rows = pd.read_csv(PUBLISHED).query(f"pool == '{SUPERVISED}' and regime == 'vanilla_ft'")
    truth = rows.pivot_table(index="dataset", columns="model", values="accuracy")
    cell = {"model_pool": "p", "splits": "train", "images_per_class": "all", "seed": "0"}
    scores = truth + np.random.default_rng(0).normal(0, 3, truth.shape)
    named = [cell | {"dataset": d, "perturbation": p, "metric": "logme"} for d in truth.index for p in ("none", "pca")]
    update_scores(
        tmp_path / "outputs" / "paper_supervised" / "scores.csv",
        [fields | {m: f"{v:.9g}" for m, v in scores.loc[fields["dataset"]].items()} for fields in named],
    )
    text, shown = ran("reproduce_paper.ipynb", tmp_path, monkeypatch)
    assert "0.837" in text, "the static ranking"
    assert f"# {SUPERVISED}, reproduced" in text
    assert (tmp_path / "outputs" / "paper_supervised" / "measures.csv").is_file()
    assert "logme" in "".join(shown[-1]["text/html"])


@pytest.mark.slow
def test_without_outputs_a_notebook_says_what_to_run(tmp_path, monkeypatch):
    with pytest.raises(Exception, match="run the two commands above first"):
        ran("quickstart.ipynb", tmp_path, monkeypatch)
    shutil.rmtree(tmp_path / "notebooks")
    with pytest.raises(Exception, match="no scores"):
        ran("reproduce_paper.ipynb", tmp_path, monkeypatch)

"""Pages as files: well-formed, harmless and complete, before a browser opens them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests.bad_input.kind import Kind, run_kind
from tests.report.html.folders import (
    HOSTILE,
    NAMES,
    cell_result,
    fields,
    halved,
    write_ranking,
    write_run,
    write_sweep_folder,
)
from transfer_exp.cli.report import main
from transfer_exp.errors import InputError, escape_controls
from transfer_exp.report.html import page as page_module
from transfer_exp.report.html.page import page_data, write_page
from transfer_exp.report.html.run_details import read_run_details, write_run_details
from transfer_exp.report.palette import PALETTE

pytestmark = pytest.mark.slow

VOID = {"meta", "link"}


class Parts(HTMLParser):
    """Elements of a page with their text; every one must be closed."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.elements, self.attributes = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))
        self.elements.append([tag, ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] == self.elements[-1][0]:
            self.elements[-1][1] += text

    def texts(self, tag):
        return [text for name, text in self.elements if name == tag]

    @property
    def data(self):
        return json.loads(self.texts("script")[0])


def opened(folder):
    return Parts(write_page(folder).read_text(encoding="utf-8"))


def test_a_page_of_a_run_holds_its_record_and_details(tmp_path):
    result = cell_result()
    data = opened(write_run(tmp_path, result, perturb=halved)).data
    assert (data["kind"], data["title"]) == ("run", "digits / none / logme")
    (cell,) = data["cells"]
    assert cell["fields"] == result.cell
    assert (cell["tau"], cell["chance"]) == (0.6, "better than chance")
    assert cell["measures"] == {"regret": 0.0}
    lines = [(m["model"], m["score"], m["accuracy"], m["rank"], m["accuracy_rank"]) for m in cell["models"]]
    assert lines == [("clear", 1, 0.9, 1, 1), ("dim", 0, 0.7, 2, 3), ("dark", -1, 0.8, 3, 2), ("odd", *[None] * 4)]
    assert (cell["models"][0]["seconds"], cell["models"][0]["stages"]) == (1.75, {"features": 1.25, "scoring": 0.5})
    assert cell["named"] == ["clear", "dark", "dim"]
    assert cell["models"][3]["reason"] == "no head"
    assert cell["command"] == "python -m it"
    assert cell["versions"]["numpy"] == np.__version__
    samples = data["samples"][cell["samples"]]
    assert samples["names"] == ["red", "green", "blue"]
    assert list(cell["views"]) == ["clear", "dark", "dim"]
    for indices in cell["views"].values():
        for index in indices:
            assert len(data["sides"][index]["points"]) == 2 * len(samples["labels"]) == 72


def test_a_page_of_a_sweep_links_cells_to_their_baseline_and_stores_each_projection_once(tmp_path):
    data = opened(write_sweep_folder(tmp_path)).data
    assert (data["kind"], data["varying"], data["command"]) == (
        "sweep",
        ["dataset", "perturbation"],
        "python -m transfer_exp --multirun",
    )
    names = [(c["fields"]["perturbation"], c["fields"]["metric"], c["state"]) for c in data["cells"]]
    assert names == [
        ("halved", "logme", "done"),
        ("halved", "sfda", "done"),
        ("none", "logme", "done"),
        ("none", "sfda", "done"),
        ("none", "logme", "failed"),
    ]
    assert [c["before"] for c in data["cells"]] == [2, 3, None, None, None]
    assert data["cells"][4]["reason"] == "no <b>head</b>"
    assert len(data["samples"]) == 1
    assert len(data["sides"]) == 6, "three models, before and after, though four cells show them"


def test_a_large_sweep_leaves_out_projections_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(page_module, "_MAX_PROJECTIONS", 6)
    write_sweep_folder(tmp_path)
    data = opened(tmp_path).data
    assert [len(c["views"]) for c in data["cells"]] == [3, 0, 0, 0, 0]
    assert "transfer-exp report" in data["cells"][1]["left_out"]


def test_a_page_needs_neither_ground_truth_nor_details(tmp_path):
    result = cell_result(accuracies=(None, None, None), tau=None)
    (cell,) = opened(write_run(tmp_path / "ranked", result)).data["cells"]
    assert (cell["tau"], cell["chance"], len(cell["models"])) == (None, "", 4)
    (tmp_path / "ranked" / "page.json").unlink()
    (cell,) = opened(tmp_path / "ranked").data["cells"]
    assert (cell["views"], cell["samples"], cell["command"]) == ({}, None, "")
    assert "kept no features" in cell["left_out"]


def test_hostile_names_neither_end_a_block_nor_start_an_element(tmp_path):
    names = (HOSTILE, "<!--", "]]>")
    run = write_run(tmp_path, cell_result(names=names, dataset=HOSTILE), class_names=(HOSTILE, "<!--", "a"))
    page = opened(run)
    assert [tag for tag, _ in page.elements].count("script") == 2
    assert "img" not in [tag for tag, _ in page.elements]
    assert [m["model"] for m in page.data["cells"][0]["models"]][:3] == list(map(escape_controls, names))
    assert page.data["samples"][0]["names"] == [escape_controls(HOSTILE), "<!--", "a"]
    assert page.texts("title")[0].startswith(escape_controls(HOSTILE))
    raw = (run / "report.html").read_text(encoding="utf-8")
    block = raw.partition('id="data">')[2].partition("</script>")[0]
    assert not re.search("[<>&\u2028']", block)


def test_a_page_loads_nothing(tmp_path):
    text = write_page(write_sweep_folder(tmp_path)).read_text(encoding="utf-8")
    # A namespace is a name, which browsers do not fetch.
    assert not re.findall(r"(?:https?:|ftp:)?//[\w.]", text.replace("http://www.w3.org/2000/svg", ""))
    assert not re.findall(r"@import|url\(|fetch\(|XMLHttp|WebSocket|sendBeacon|innerHTML|insertAdjacent|eval\(", text)
    page = Parts(text)
    for tag, attributes in page.attributes:
        for name in ("src", "href", "action", "style"):
            assert attributes.get(name, "#").startswith(("#", "data:,")), (tag, name)


def test_the_policy_admits_only_the_style_and_the_program_of_the_page(tmp_path):
    page = opened(write_run(tmp_path, cell_result()))
    (policy,) = (a["content"] for _, a in page.attributes if a.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    def token(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "style-src": token(page.texts("style")[0]),
        "script-src": token(page.texts("script")[1]),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_a_page_stays_small(tmp_path):
    run = write_run(tmp_path, cell_result(), perturb=halved)
    assert write_page(run).stat().st_size < 80_000
    assert len(json.dumps(page_data(run))) < 20_000


def test_writing_a_page_again_changes_nothing(tmp_path):
    write_sweep_folder(tmp_path)
    first = write_page(tmp_path).read_bytes()
    assert write_page(tmp_path).read_bytes() == first
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"page.json", "report.html"}


def test_the_report_command_writes_the_page_again(tmp_path, capsys):
    folder = write_sweep_folder(tmp_path / "sweep")
    assert main([str(folder)]) == 0
    assert "report.html" in capsys.readouterr().out
    assert opened(folder).data["kind"] == "sweep"
    assert main([str(folder / "logme-none")]) == 0
    assert opened(folder / "logme-none").data["kind"] == "run"
    (folder / "page.json").write_text("{}{")
    capsys.readouterr()
    assert main([str(folder)]) == 1
    assert re.search(r"transfer_exp: .*page\.json has no valid details .*: delete it", capsys.readouterr().err)


def test_the_report_command_shows_a_ranking_again(tmp_path, capsys):
    folder = write_ranking(tmp_path, models=4, classes=3)
    assert main([str(folder)]) == 0
    output = capsys.readouterr().out
    assert "Fine-tune these two: model_000, model_001" in output
    assert "no tau" not in output
    data = opened(folder).data
    assert (data["kind"], data["title"]) == ("ranking", "digits: ranking of 4 models")
    assert data["cells"][0]["answer"]["command"] == "transfer-exp run fine-tune"
    assert not list(folder.glob("sweep.*"))


def test_a_ranking_of_version_0_1_0_shows_its_verdict(tmp_path):
    folder = write_run(tmp_path, cell_result(accuracies=(None, None, None), tau=None))
    details = replace(read_run_details(folder), verdict=("clear is the best", "in 3 s"), remarks={"dim": "close"})
    write_run_details(details, folder)
    (cell,) = page_data(folder)["cells"]
    assert (cell["answer"]["headline"], cell["answer"]["lines"]) == ("clear is the best", ("in 3 s",))
    assert cell["models"][1]["reason"] == "close"


def test_a_sweep_of_failed_cells_has_a_page(tmp_path):
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "status.json").write_text(json.dumps({"state": "failed", "reason": "why", "cell": fields()}))
    (cell,) = opened(tmp_path).data["cells"]
    assert (cell["state"], cell["reason"], cell["models"]) == ("failed", "why", [])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no results"):
        page_data(tmp_path / "empty")


def _luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["paper", "raised", "faint"])
def test_text_and_marks_have_the_contrast_of_wcag_aa(theme, ground):
    for name, colours in PALETTE.items():
        if name in ("paper", "raised", "faint", "line"):
            continue
        darker, lighter = sorted((_luminance(colours[theme]), _luminance(PALETTE[ground][theme])))
        need = 3 if name == "control" or name.startswith("class") else 4.5
        assert (lighter + 0.05) / (darker + 0.05) >= need, name


def test_the_style_uses_only_colours_of_the_palette():
    style = (Path(page_module.__file__).parent / "page.css").read_text(encoding="utf-8")
    assert not re.findall(r"#[0-9a-f]{3,8}\b(?=[;,) ])", style)
    own = {"class", "share", "tone"}
    assert set(re.findall(r"var\(--(\w+)", style)) - own <= PALETTE.keys()


def test_a_run_writes_a_page_and_a_sweep_writes_one_page_for_all_its_cells(tmp_path):
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    for name, noise in (("clear", 0.5), ("dim", 5.0), ("dark", 9.0)):
        (tmp_path / "features").mkdir(exist_ok=True)
        features = np.eye(5)[labels] + noise * rng.normal(size=(60, 5))
        np.savez(tmp_path / "features" / f"{name}.npz", features=features, labels=labels)
    common = ("dataset=arrays", "dataset.root=features", "model_pool=arrays", "ground_truth=none", "tracker=none")
    for options, where in ((("perturbation=pca",), "run"), (("-m", "perturbation=none,pca"), "sweep")):
        output = f"hydra.{where}.dir=out/{where}"
        command = (*options, *common, output)
        assert run_kind(Kind(where, command, ""), tmp_path)[0] == 0
    pages = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("report.html"))
    assert pages == ["run/report.html", "sweep/report.html"]
    for page in pages:
        text = (tmp_path / "out" / page).read_text()
        data = Parts(text).data
        assert data["command"].startswith("python -m transfer_exp ")
        perturbed = data["cells"][-1]
        assert len(perturbed["views"]) == len(NAMES)
        assert all(after is not None for _, after in perturbed["views"].values())
        assert perturbed["models"][0]["stages"].keys() == {"scoring", "ground_truth"}
    assert "perturbation=pca" in data["cells"][1]["command"]
    assert data["cells"][1]["before"] == 0

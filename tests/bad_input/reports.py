"""Records and documents that the commands of reports cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bad_input.files import Build, both, text
from tests.bad_input.kind import Kind

RECORD: dict[str, Any] = {
    "cell": {"metric": "logme", "dataset": "digits"},
    "models": [{"model": "a", "score": 1.0, "accuracy": None, "reason": "", "parts": {}}],
    "measures": {},
    "null_band": None,
    "tied": False,
    "null_level": 0.95,
}
HEAD = "model_pool,dataset,splits,images_per_class,seed,perturbation,metric,a,b\n"
SOUND = "".join(f"p,{target},train,all,0,none,logme,1,2\n" for target in ("cars", "pets"))
TRUTH = "model,dataset,regime,seed,accuracy,seconds\n" + "".join(
    f"{model},{target},full,0,0.5,1\n" for target in ("cars", "pets") for model in "ab"
)
PAGE = "<!-- study: accuracies=t.csv scores=s.csv -->\n"


def _sweep(name: str, message: str, build: Build | None) -> Kind:
    def make(folder: Path) -> None:
        (folder / "sweep").mkdir()
        if build is not None:
            build(folder / "sweep")

    return Kind(name, ("sweep",), message, make, "cli.report")


def _record(name: str, message: str, **changes: Any) -> Kind:
    return _sweep(name, message, text("result.json", json.dumps({**RECORD, **changes})))


def _study(name: str, message: str, page: str | bytes, scores: str = HEAD + SOUND, truth: str = TRUTH) -> Kind:
    build = both(text("page.md", page), text("s.csv", scores), text("t.csv", truth))
    return Kind(name, ("page.md",), message, build, "studies.real_pool.__main__")


def _block(name: str, message: str, block: str) -> Kind:
    return _study(name, message, f"{PAGE}<!-- table: {block} -->\n<!-- end -->\n")


def _reproduction(name: str, message: str, build: Build | None, pool: str = "group1_supervised_cnn11") -> Kind:
    return Kind(name, ("s.csv", "--pool", pool), message, build, "cli.reproduction")


KINDS = [
    Kind("sweep that is not there", ("absent",), "absent is no folder", None, "cli.report"),
    _sweep("sweep without cells", "no cell found below sweep", None),
    _sweep("record that is no JSON", "result.json is not JSON", text("result.json", "{")),
    _sweep("record that is a list", "is not the record of a cell", text("result.json", "[]")),
    _sweep("record with NaN", "NaN is no number", text("result.json", '{"measures": NaN}')),
    _record(
        "record with a score in words", "'high' is no finite number", models=[{**RECORD["models"][0], "score": "high"}]
    ),
    _record("record with a cell that is a list", "is not the record of a cell", cell=["logme"]),
    _sweep(
        "status with a field that is taken",
        "has a field 'state'",
        text("status.json", '{"state": "failed", "cell": {"state": "none"}}'),
    ),
    _sweep("status that is a list", "is not the status of a cell", text("status.json", "[]")),
    _sweep("status nested without end", "nested too deeply", text("status.json", "[" * 200_000)),
    Kind("page that is not there", ("absent.md",), "cannot read absent.md", None, "studies.real_pool.__main__"),
    _study("page in Latin-1", "page.md is not UTF-8 text", "é".encode("latin-1")),
    _study("page that names no rows", "does not say its rows", "# A study\n"),
    _study("page with a scrambled comment", "does not say its rows", "<!-- study: accuracies scores -->\n"),
    _block("page with an unknown table", "asks for a table 'acuracies': did you mean accuracies", "acuracies"),
    _block("page with a table asked for wrongly", "is asked for wrongly", "accuracies full twice"),
    _block("page with an unknown regime", "no regime 'half'", "means half"),
    _study(
        "study with a score in words",
        "s.csv line 2: score 'high' is not a number",
        PAGE,
        HEAD + SOUND.replace(",1,2", ",high,2"),
    ),
    _study(
        "study with a cell that stands twice",
        "lines 2 and 4 both score metric logme",
        PAGE,
        HEAD + SOUND + SOUND,
    ),
    _study(
        "study with a time in words",
        "t.csv line 2: seconds 'long' is no finite number",
        PAGE,
        truth=TRUTH.replace(",1\n", ",long\n"),
    ),
    _study("study of one target", "fewer than two targets", PAGE, HEAD + SOUND.partition("\n")[0] + "\n"),
    _reproduction("scores of a reproduction that are not there", "no scores s.csv", None),
    _reproduction("reproduction of an unknown pool", "has no pool 'group1'", text("s.csv", HEAD + SOUND), "group1"),
    _reproduction("reproduction of other models", "have both scores and accuracies", text("s.csv", HEAD + SOUND)),
]

"""Records and documents that the report commands cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.bad_input.files import Build, sequence, text
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

    return Kind(name, ("sweep",), message, make, "transfer-exp report")


def _record(name: str, message: str, **changes: Any) -> Kind:
    return _sweep(name, message, text("result.json", json.dumps({**RECORD, **changes})))


def _study(name: str, message: str, page: str | bytes, scores: str = HEAD + SOUND, truth: str = TRUTH) -> Kind:
    build = sequence(text("page.md", page), text("s.csv", scores), text("t.csv", truth))
    return Kind(name, ("page.md",), message, build, "python -m studies.real_pool")


def _block(name: str, message: str, block: str) -> Kind:
    return _study(name, message, f"{PAGE}<!-- table: {block} -->\n<!-- end -->\n")


def _reproduction(name: str, message: str, build: Build | None, pool: str = "group1_supervised_cnn11") -> Kind:
    return Kind(name, ("s.csv", "--published", pool), message, build, "transfer-exp report")


KINDS = [
    Kind("missing folder of a sweep", ("absent",), "absent does not exist: give", None, "transfer-exp report"),
    _sweep("sweep without cells", "sweep holds no results", None),
    _sweep("record that is not JSON", "result.json is not JSON", text("result.json", "{")),
    _sweep("record that is a list", "is not the record of a cell", text("result.json", "[]")),
    _sweep("record with NaN", "NaN is not a number", text("result.json", '{"measures": NaN}')),
    _record(
        "record with a score in words",
        "'high' is not a finite number",
        models=[{**RECORD["models"][0], "score": "high"}],
    ),
    _record("record with a cell that is a list", "is not the record of a cell", cell=["logme"]),
    _sweep("status that is a list", "is not the status of a cell", text("status.json", "[]")),
    _sweep("status nested without end", "nested too deeply", text("status.json", "[" * 200_000)),
    Kind("missing page", ("absent.md",), "cannot read absent.md", None, "python -m studies.real_pool"),
    _study("page in Latin-1", "page.md is not UTF-8 text", "é".encode("latin-1")),
    _study("page that names no rows", "does not name its rows", "# A study\n"),
    _study("page with a scrambled comment", "does not name its rows", "<!-- study: accuracies scores -->\n"),
    _block("page with an unknown table", "asks for a table 'agrement': did you mean agreement", "agrement"),
    _block("page with wrong arguments of a table", "has wrong arguments", "means full twice"),
    _block("page with an unknown regime", "no regime 'half'", "means half"),
    _study(
        "study with a score in words",
        "s.csv line 2: score 'high' is not a finite number",
        PAGE,
        HEAD + SOUND.replace(",1,2", ",high,2"),
    ),
    _study(
        "study with a duplicate cell",
        "lines 2 and 4 both score metric logme",
        PAGE,
        HEAD + SOUND + SOUND,
    ),
    _study(
        "study with a time in words",
        "t.csv line 2: seconds 'long' is not a finite number",
        PAGE,
        truth=TRUTH.replace(",1\n", ",long\n"),
    ),
    _study("study of one target", "fewer than two targets", PAGE, HEAD + SOUND.partition("\n")[0] + "\n"),
    _reproduction("missing scores of a reproduction", "no scores s.csv", None),
    _reproduction("reproduction of an unknown pool", "has no pool 'group1'", text("s.csv", HEAD + SOUND), "group1"),
    _reproduction("reproduction of other models", "have both scores and accuracies", text("s.csv", HEAD + SOUND)),
]

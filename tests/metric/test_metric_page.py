"""The page of metrics matches the facts that the classes declare."""

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import numpy as np

import transfer_exp.metric

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "metrics.md"


def interval(kind):
    """Return the declared bounds, an infinite end open."""
    left, right = ("(" if np.isinf(kind.lower) else "["), (")" if np.isinf(kind.upper) else "]")
    return f"{left}{kind.lower:g}, {kind.upper:g}{right}"


def table():
    """Return the Markdown table of all metrics in the package, by name, from their facts and module docstrings."""
    rows = []
    for name in [m.name for m in pkgutil.iter_modules(transfer_exp.metric.__path__)]:
        module = import_module(f"transfer_exp.metric.{name}")
        kinds = [
            kind
            for _, kind in inspect.getmembers(module, inspect.isclass)
            if kind.__module__ == module.__name__ and isinstance(getattr(kind, "name", None), str)
        ]
        for kind in kinds:
            # A module of several metrics describes its family, and each class itself.
            summary = inspect.getdoc(module if len(kinds) == 1 else kind).splitlines()[0]
            description = summary.split(": ", 1)[1].rstrip(".")
            inputs = [name.replace("_", " ") for name in kind().inputs if name != "labels"]
            needs = ", ".join(inputs) or "nothing"
            rows.append((f"`{kind.name}`", description, interval(kind), needs, kind.source))
    head = [("metric", "what it looks at", "range", "needs", "source"), ("---",) * 5]
    return "\n".join(f"| {' | '.join(row)} |" for row in (*head, *sorted(rows)))


def test_the_table_matches_the_classes():
    match = re.search(r"(?:^\|.*\n)+", PAGE.read_text(), re.MULTILINE)
    assert match is not None
    assert match[0].strip() == table(), f"replace the first table of docs/metrics.md by this one:\n{table()}"


def test_no_metric_is_listed_as_both_available_and_left_out():
    left_out = PAGE.read_text().split("## Left out, and why")[1]
    names = {path.stem for path in (ROOT / "conf" / "metric").glob("*.yaml")}
    assert not names & set(re.findall(r"^- \*\*(\w+)", left_out.lower(), re.MULTILINE))


def test_pages_state_the_number_of_metrics():
    baselines = {"random", "parameter_count", "imagenet_accuracy", "static_rank"}
    fusions = {"fusion", "learned_fusion"}
    second_names = {"recommended"}
    names = {path.stem for path in (ROOT / "conf" / "metric").glob("*.yaml")}
    number = len(names - baselines - fusions - second_names)
    for page, verb in (("README.md", "has"), ("docs/index.md", "computes")):
        assert f"{verb} {number} metrics" in " ".join((ROOT / page).read_text().split()), page
    for page in ("README.md", "docs/comparison.md"):
        text = (ROOT / page).read_text()
        assert f"| metrics | {number}, plus {len(baselines)} baselines and {len(fusions)} fusions |" in text, page

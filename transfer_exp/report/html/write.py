"""The page as one file: data, style and program stand in it, and its policy lets it ask for nothing else."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from transfer_exp.io.atomic import write_text
from transfer_exp.report.html.page import Page, page_of

NAME = "report.html"
_HERE = Path(__file__).parent
_PROGRAM = ("elements.js", "tables.js", "charts.js", "classes.js", "page.js")


def write_page(folder: Path, frame: pd.DataFrame | None = None) -> Path:
    """Write ``report.html`` for the run or the sweep in a folder, into it, and return its path.

    Parameters
    ----------
    folder, frame
        As `page_of`.

    Raises
    ------
    InputError
        As `page_of`.
    """
    text = rendered(page_of(folder, frame))
    path = folder / NAME
    write_text(path, text)
    return path


def rendered(page: Page) -> str:
    """Return the HTML of a page.

    Names of models and classes are strangers' text. They stand in a block of JSON in which no character can end it, and
    the program shows them as text alone; the title is escaped by the template.
    """
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}  # in the order of the records, unsorted
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    program = "".join((_HERE / name).read_text(encoding="utf-8") for name in _PROGRAM)
    return environment.get_template("page.html.j2").render(
        title=page.title,
        data=asdict(page),
        # A hash lets in exactly this text; the template must not add a space to it.
        style=Markup(style),
        style_hash=_hash(style),
        program=Markup(program),
        program_hash=_hash(program),
    )


def _hash(text: str) -> str:
    """Return a text's hash as a content security policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"

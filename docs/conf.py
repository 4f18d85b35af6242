"""Settings of the documentation site: ``make site`` builds it into ``site/``."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from docutils import nodes
from latex2mathml.converter import convert

from transfer_exp.version import __version__

project = "transfer_exp"
author = "The transfer_exp maintainers"
copyright = f"2025-2026, {author}"
release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]

# Pages are Markdown; headings get anchors, so that links to a section work as they do on a code host.
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"  # read by browsers without a program or a font, so also without the network
myst_heading_anchors = 4
suppress_warnings = ["myst.xref_missing", "misc.highlighting_failure", "ref.python"]

# One page per module of the reference, from its docstrings.
autosummary_generate = True
shutil.rmtree(Path(__file__).parent / "reference" / "generated", ignore_errors=True)  # pages of deleted modules
autodoc_default_options = {"members": True, "special-members": "__call__", "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_numpy_docstring = False
napoleon_preprocess_types = False
napoleon_use_ivar = True
default_role = "py:obj"
templates_path = ["static/templates"]

html_theme = "pydata_sphinx_theme"
html_title = "transfer_exp"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "header_links_before_dropdown": 6,
}


def _escape_norms(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape the bars of norms, |x|, and lone asterisks outside code: reStructuredText has other uses for them."""
    for number, line in enumerate(lines):
        parts = re.split(r"(``.*?``|`.*?`)", line)
        parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
        lines[number] = "".join(parts)


def _write_formula(translator: Any, node: nodes.Element) -> None:
    """Write a formula as MathML."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    translator.body.append(convert(node.astext(), display=display))
    raise nodes.SkipNode


def setup(app: Any) -> None:
    """Register the renderer of formulas and the docstring filter."""
    app.add_html_math_renderer("mathml", (_write_formula, None), (_write_formula, None))
    app.connect("autodoc-process-docstring", _escape_norms, priority=400)  # before napoleon writes its own markup

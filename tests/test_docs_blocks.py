"""Code in documents: every block is run, in the order of its page, or says beside it why it is not.

- A block is tagged. ``python`` runs in one namespace a page. ``bash`` runs as a process that stops at the first error;
  a block of plain ``transfer-exp`` commands runs in this process, where torch is imported already. Both kinds run in
  one folder a page, empty at first. With ``title="PATH"`` a block of any kind is a file of that folder.
- ``<!-- not run: REASON -->`` above a block leaves it out. ``<!-- before: CODE -->`` above a Python block is run first.
- ``<!-- printed -->`` above a ``text`` block: the lines of the last block that ran, ``...`` for those left out. Numbers
  may be off by one in their last digit.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
import yaml

from tests.command import run_command

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"(?:<!--(?P<note>[^>]*?)-->\n)?^```(?P<info>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
GENERATED = re.compile(r"^<!-- (?:rows|table|speed): [^>]*-->\n.*?^<!-- end -->$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$? ?(?:[A-Z_]+=\S+ )*(?:python|pip|transfer-exp|make|apt-get) ", re.MULTILINE)
QUOTED = re.compile(r"'[^'\n]*'|\"[^\"$`\\\n]*\"")
OURS = re.compile(r"((?:[A-Z_]+=\S* )*)(transfer-exp|python -m transfer_exp)( .*|)")
SHOWN = ("text", "json", "yaml", "csv", "{toctree}", "{eval-rst}")


@dataclass(frozen=True)
class Block:
    tag: str
    file: str | None
    note: str
    code: str

    @property
    def runs(self):
        return self.file is None and self.tag not in SHOWN and not self.note.startswith("not run: ")


def blocks(text):
    """Return the blocks that people wrote; those which a command fills have tests of their own."""
    found = []
    written = GENERATED.sub("", text)
    for match in FENCED.finditer(written):
        tag, _, rest = match["info"].partition(" ")
        title = re.fullmatch(r'title="([^"]+)"', rest)
        assert title or not rest, f"cannot read the head of a block: {match['info']}"
        found.append(Block(tag, title and title[1], (match["note"] or "").strip(), match["code"]))
    fences = re.findall(r"^.*(?:```|~~~).*$", written, re.MULTILINE)
    assert len(fences) == 2 * len(found), "fence blocks with ``` at the beginning of a line, and close them"
    return found


def blame(block):
    """Return what is wrong with how a block is marked, or nothing."""
    head = block.code.split("\n")[0]
    if block.tag not in ("python", "bash", *SHOWN):
        return f"tag the block '{head}' as python, bash, {' or '.join(SHOWN)}"
    if block.tag == "text" and COMMAND.search(block.code):
        return f"a command stands in a text block: tag '{head}' as bash"
    if block.note.startswith("not run:") and len(block.note.split()) < 4:
        return f"say why '{head}' is not run: <!-- not run: REASON -->"
    return None


def agree(shown, printed):
    """Tell whether a line is what was printed, up to blanks and one unit of the last digit of every number."""
    number = re.compile(r"-?\d+(?:\.\d+)?")
    if number.sub("#", shown).split() != number.sub("#", printed).split():
        return False
    pairs = zip(number.findall(shown), number.findall(printed), strict=True)
    return all(abs(float(a) - float(b)) <= 1.001 * 10.0 ** -len(a.partition(".")[2]) for a, b in pairs)


def missing(shown, printed):
    """Return the first line shown that was not printed after those above it, or nothing; without ``...``, next."""
    left, anywhere = [line for line in printed.splitlines() if line.strip()], False
    for line in filter(str.strip, shown.splitlines()):
        if line.strip() == "...":
            anywhere = True
            continue
        places = [i for i, other in enumerate(left if anywhere else left[:1]) if agree(line, other)]
        if not places:
            return line
        left, anywhere = left[places[0] + 1 :], False
    return None


def own_commands(code):
    """Return the lines of a block if each is a command of this package without a feature of the shell, or None."""
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip()]
    plain = not re.search(r"[|&;<>$`(){}*?~!#\\]", QUOTED.sub("", "\n".join(lines)))
    return lines if plain and all(OURS.fullmatch(line) for line in lines) else None


class Page:
    """Runs the blocks of one page in a folder."""

    def __init__(self, folder, programs):
        self.folder, self.namespace, self.printed = folder, {"__name__": "__main__"}, ""
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        # Wide enough for tables not to break names; the package as it stands here, whatever is installed.
        self.environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}

    def meet(self, block):
        if block.note == "printed":
            assert missing(block.code, self.printed) is None, self.printed
        elif block.file is not None:
            file = self.folder / block.file
            assert file.resolve().is_relative_to(self.folder.resolve())
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code)
        elif block.runs:
            self.printed = {"python": self.python, "bash": self.bash}[block.tag](block)

    def python(self, block):
        before = block.note.removeprefix("before:").strip() if block.note.startswith("before:") else ""
        with redirect_stdout(StringIO()) as printed:
            exec(compile(before, "before", "exec"), self.namespace)
            exec(compile(block.code, "block", "exec"), self.namespace)
        return printed.getvalue()

    def bash(self, block):
        lines = own_commands(block.code)
        return self.process(block) if lines is None else "".join(map(self.command, lines))

    def command(self, line):
        variables, program, arguments = OURS.fullmatch(line).groups()
        environment = dict(variable.split("=", 1) for variable in shlex.split(variables))
        done = run_command(self.folder, *shlex.split(arguments), program=program, **environment)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def process(self, block):
        command = ["bash", "-euo", "pipefail", "-c", block.code]
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """Return a folder of the programs that documents call, which run with this interpreter."""
    folder = tmp_path_factory.mktemp("programs")
    for name, call in (("python", ""), ("transfer-exp", "-m transfer_exp ")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {call}"$@"\n')
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def page(tmp_path, monkeypatch, programs):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    yield Page(tmp_path, programs)
    for name in set(sys.modules) - known:
        module = sys.modules[name]
        folders = getattr(module, "__path__", ())  # of a folder without __init__.py; torch.classes has no list of them
        paths = [getattr(module, "__file__", None), *(folders if isinstance(folders, Iterable) else ())]
        if any(path and Path(path).is_relative_to(tmp_path) for path in paths):
            del sys.modules[name]


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_block_is_tagged_and_what_is_not_run_says_why(path):
    for block in blocks(path.read_text()):
        assert blame(block) is None, blame(block)


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_every_block_can_be_read(path):
    readers = {"python": ast.parse, "json": json.loads, "yaml": yaml.safe_load}
    for block in blocks(path.read_text()):
        readers.get(block.tag, str)(block.code)


RUN = [path for path in PAGES if any(block.runs for block in blocks(path.read_text()))]
FIRST_PAGE = ROOT / "README.md"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=str(path.relative_to(ROOT)), marks=pytest.mark.slow if path == FIRST_PAGE else pytest.mark.long
        )
        for path in RUN
    ],
)
def test_every_block_runs(path, page):
    for block in blocks(path.read_text()):
        page.meet(block)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\nls\n```", "tag the block 'ls'"),
        ("```sh\nls\n```", "tag the block 'ls'"),
        ("```text\npython -m transfer_exp\n```", "a command stands in a text block"),
        ("<!-- not run: -->\n```bash\nls\n```", "say why 'ls' is not run"),
        ("<!-- not run: slow -->\n```bash\nls\n```", "say why 'ls' is not run"),
        ("<!-- not run: needs a cluster -->\n```bash\nls\n```", None),
        ("```bash\nls\n```", None),
    ],
)
def test_a_block_that_would_be_passed_over_in_silence_is_found(text, message):
    (block,) = blocks(text)
    assert (blame(block) or "").startswith(message or "")
    assert (blame(block) is None) == (message is None)


@pytest.mark.parametrize("text", ["```bash\nls", "- item\n  ```bash\n  ls\n  ```", "~~~bash\nls\n~~~"])
def test_a_block_that_would_not_be_seen_is_refused(text):
    with pytest.raises(AssertionError, match="beginning of a line"):
        blocks(text)


def test_a_reason_counts_for_the_block_right_below_it_alone():
    one, other = blocks("<!-- not run: needs a cluster -->\n```bash\nls\n```\n\n```bash\nls\n```")
    assert (one.runs, other.runs) == (False, True)


def test_blocks_of_a_page_share_a_folder_and_a_namespace(page):
    text = '```csv title="a/b.csv"\nx\n1\n```\n<!-- before: y = 2 -->\n```python\nz = y + 1\n```\n'
    text += "```bash\ncat a/b.csv; python -c 'print(3)'\n```\n<!-- printed -->\n```text\nx\n...\n3\n```\n"
    for block in blocks(text):
        page.meet(block)
    assert page.namespace["z"] == 3


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        ("transfer-exp rank a\n", ["transfer-exp rank a"]),
        ("A=b python -m transfer_exp \\\n  'a=[b(c=1)]'\n", ["A=b python -m transfer_exp    'a=[b(c=1)]'"]),
        ("transfer-exp a={b,c}\n", None),
        ('transfer-exp "a=$b"\n', None),
        ("transfer-exp a | head\n", None),
        ("transfer-exp a\nls\n", None),
    ],
)
def test_only_a_block_of_plain_commands_runs_without_a_shell(code, lines):
    assert own_commands(code) == lines


@pytest.mark.parametrize(
    "text", ["```bash\nfalse\ntrue\n```", "```bash\nfalse | true\n```", "```python\nassert 0\n```"]
)
def test_a_block_that_fails_fails_its_page(text, page):
    with pytest.raises(AssertionError):
        page.meet(*blocks(text))


@pytest.mark.parametrize(
    ("shown", "printed", "first"),
    [
        ("a 1.00", "a   1.01", None),
        ("a 1.00", "a 1.02", "a 1.00"),
        ("a 7", "b 7", "a 7"),
        ("c", "a\nc", "c"),
        ("...\nc", "a\nc", None),
        ("b\na", "a\nb", "b"),
        ("a\nb", "a", "b"),
    ],
)
def test_what_a_page_shows_is_what_was_printed(shown, printed, first):
    assert missing(shown, printed) == first

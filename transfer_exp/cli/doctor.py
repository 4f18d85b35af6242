"""``transfer-exp doctor``: check the installation, the devices, the folders and the connections."""

from __future__ import annotations

import netrc
import os
import platform
import shutil
import sys
import textwrap
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from transfer_exp.cli.console import Parser, format_bytes, relative_path
from transfer_exp.errors import InputError, one_line
from transfer_exp.io.hub import check_connections, hub_url
from transfer_exp.io.text import expand_user
from transfer_exp.store.entries import list_entries
from transfer_exp.version import __version__

_PACKAGE = "transfer-exp"
_DEVELOPER_EXTRAS = ("browser", "docs", "test")
_MOST_FILES = 200_000
"""Number of files after which counting the size of a folder stops: some seconds on a slow disk."""
_EXAMPLES = ("transfer-exp doctor", "transfer-exp doctor --store shared/store")


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: Subject of the check.
        text: Result of the check.
        is_broken: Whether something that every run needs does not work.
        without: What a run has to do without, as a noun for the summary; empty if nothing.
    """

    name: str
    text: str
    is_broken: bool = False
    without: str = ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print all findings; arguments and exit code as for `Parser.run`."""
    parser = Parser(
        prog="transfer-exp doctor",
        description="Check the installation, the devices, the folders of stored files, and the connections.",
        examples=_EXAMPLES,
    )
    parser.add_argument("--store", type=expand_user, default=Path("outputs/store"), metavar="FOLDER")
    return parser.run(_check_all, arguments)


def _check_all(options: Namespace) -> None:
    findings = list[Finding]()
    for finding in _findings(options.store):
        findings.append(finding)
        line = one_line(f"{'BROKEN ' if finding.is_broken else ''}{finding.name}: {finding.text}")
        print(_wrap(line) if sys.stdout.isatty() else line, flush=True)
    broken = [finding.name for finding in findings if finding.is_broken]
    if broken:
        raise InputError(f"broken: {', '.join(broken)}: a run needs them, see the lines that begin with BROKEN")
    without = [finding.without for finding in findings if finding.without]
    summary = "; without ".join(
        ["ready: everything that a run needs works", *([", ".join(without)] if without else [])]
    )
    print(_wrap(summary) if sys.stdout.isatty() else summary)


def _wrap(line: str) -> str:
    """Return a line folded at the width of the terminal, its continuation indented."""
    width = max(shutil.get_terminal_size().columns, 40)
    return textwrap.fill(line, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _findings(store: Path) -> Iterator[Finding]:
    """Yield all findings, quick checks first."""
    yield Finding("transfer_exp", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("Python", f"{platform.python_version()} in {sys.prefix}, {platform.platform()}")
    yield from check_libraries()
    yield from check_devices()
    yield check_store(store)
    yield from check_downloads()
    yield from check_network()
    yield from check_wandb(Path("outputs"))


def check_libraries() -> Iterator[Finding]:
    """Yield the required libraries and those of each extra, as listed in the metadata of the package."""
    try:
        requirements = [Requirement(text) for text in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        yield Finding("libraries", f"{_PACKAGE} is not installed: pip install it from its folder", is_broken=True)
        return
    required = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": ""})]
    yield Finding("libraries", ", ".join(f"{r.name} {version(r.name)}" for r in required if not _unfit_version(r)))
    for requirement in required:
        if unfit := _unfit_version(requirement):
            problem = f"{unfit}, needed is {requirement}: pip install '{requirement}'"
            yield Finding(requirement.name, problem, is_broken=True)
    for extra in metadata(_PACKAGE).get_all("Provides-Extra") or ():
        if extra in _DEVELOPER_EXTRAS:
            continue
        of_extra = [r for r in requirements if r not in required and r.marker and r.marker.evaluate({"extra": extra})]
        missing = [f"{r.name} ({unfit})" for r in of_extra if (unfit := _unfit_version(r))]
        fix = f"without {', '.join(missing)}: pip install '{_PACKAGE}[{extra}]'"
        yield Finding(f"extra {extra}", fix if missing else "present", without=f"the extra {extra}" if missing else "")


def _unfit_version(requirement: Requirement) -> str:
    """Return the installed version if it is not the required one, ``missing`` without one; empty if all is well."""
    try:
        installed = version(requirement.name)
    except PackageNotFoundError:
        return "missing"
    return "" if requirement.specifier.contains(installed, prereleases=True) else installed


def check_devices() -> Iterator[Finding]:
    """Yield cores and memory of the machine, and the devices that torch can use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {format_bytes(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))} of memory"
    yield Finding("device cpu", f"{cores} cores{memory}")
    try:
        import torch
    except Exception as error:  # the loader raises many types for a library that does not fit or a missing file
        yield Finding("torch", f"cannot be loaded ({error}): install it again", is_broken=True)
        return
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        yield Finding(f"device cuda:{i}", f"{properties.name}, {format_bytes(properties.total_memory)} of memory")
    if not torch.cuda.device_count():
        build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        without = "" if torch.backends.mps.is_available() else "a GPU"
        yield Finding("device cuda", f"none (torch {torch.__version__} is {build})", without=without)
    if torch.backends.mps.is_available():
        yield Finding("device mps", f"{format_bytes(torch.mps.recommended_max_memory())} of memory")


def check_store(root: Path) -> Finding:
    """Return the folder and the size of the store of features and accuracies; broken if it cannot be created."""
    if root.is_dir():
        sizes = [entry.size for entry in list_entries(root)]
        note = "" if os.access(root, os.W_OK) else ", read-only"
        return Finding("store", f"{relative_path(root)}, {len(sizes)} entries, {format_bytes(sum(sizes))}{note}")
    parent = next(folder for folder in root.absolute().parents if folder.exists())
    if root.exists() or not (parent.is_dir() and os.access(parent, os.W_OK)):
        return Finding("store", f"{relative_path(root)} cannot be created: set store=FOLDER", is_broken=True)
    return Finding("store", f"{relative_path(root)}, not created yet")


def check_downloads() -> Iterator[Finding]:
    """Yield the folders of downloads, with their sizes."""
    folders = {"data folder": Path(os.environ.get("TRANSFER_EXP_DATA", "data"))}
    if find_spec("huggingface_hub") is not None:
        from huggingface_hub import constants

        datasets = os.environ.get("HF_DATASETS_CACHE", Path(constants.HF_HOME) / "datasets")
        folders["Hugging Face models"] = Path(constants.HF_HUB_CACHE)
        folders["Hugging Face datasets"] = Path(datasets)
    torch = sys.modules.get("torch")  # absent where `check_devices` could not load it
    if torch is not None:
        folders["torch hub"] = Path(torch.hub.get_dir())
    for name, folder in folders.items():
        yield Finding(name, f"{relative_path(folder)}, {_folder_size(folder)}")


def _folder_size(folder: Path) -> str:
    """Return the size of all files below a folder; links are not followed, so each file counts once."""
    if not folder.is_dir():
        return "empty"
    total, files = 0, 0
    for directory, _, names in os.walk(folder):
        for name in names:
            if files == _MOST_FILES:
                return f"more than {format_bytes(total)} (only {files} files were counted)"
            total += Path(directory, name).lstat().st_size
            files += 1
    return f"{format_bytes(total)} in {files} files"


def check_network() -> Iterator[Finding]:
    """Yield whether the hub and W&B answer, see `check_connections`."""
    wandb_offline = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    urls = {"Hugging Face": hub_url(), "W&B": "" if wandb_offline else _wandb_url()}
    answers = check_connections(urls.values())
    for name, url in urls.items():
        reply = answers[url] if url else "not checked, because the environment is set to offline"
        yield Finding(f"network {name}", f"{_host(url)}: {reply}" if url else reply)
    if answers and "reached" not in answers.values():
        offline = "offline works with model_pool=builtin, tracker.mode=offline, HF_HUB_OFFLINE=1 and cached downloads"
        yield Finding("no network", offline, without="a network")


def _wandb_url() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def _host(url: str) -> str:
    """Return the host of a URL only, because its other parts may hold a password."""
    try:
        return urlsplit(url).hostname or "an address without a host"
    except ValueError:
        return "an invalid address"


def check_wandb(outputs: Path) -> Iterator[Finding]:
    """Yield whether there is a W&B key, without printing it, the mode, and the runs that were not uploaded."""
    login = _wandb_login(_host(_wandb_url()))
    yield Finding("W&B login", login, without="" if login.startswith("a key") else "a W&B key")
    mode = os.environ.get("WANDB_MODE")
    yield Finding("W&B mode", f"set by tracker.mode, or else {f'WANDB_MODE={mode}' if mode else 'offline'}")
    runs = sorted(_offline_runs(outputs))
    text = f"all runs below {relative_path(outputs)} are uploaded, or there are none"
    if runs:
        last = relative_path(runs[-1])
        text = f"{len(runs)} below {relative_path(outputs)} not uploaded; the last: wandb sync {last}"
    yield Finding("W&B runs", text)


def _wandb_login(host: str) -> str:
    if os.environ.get("WANDB_API_KEY"):
        return "a key in WANDB_API_KEY"
    files = (Path.home() / ".netrc", Path.home() / "_netrc")
    file = Path(os.environ["NETRC"]) if "NETRC" in os.environ else next((f for f in files if f.exists()), files[0])
    try:
        if netrc.netrc(file).authenticators(host):
            return f"a key for {host} in {file}"
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:  # only its type: the message may hold a key
        return f"{file} cannot be read ({type(error).__name__}): correct it, or run wandb login"
    return f"no key for {host}: run wandb login, or record with tracker.mode=offline"


def _offline_runs(outputs: Path) -> Iterator[Path]:
    """Yield the folders of runs that were recorded offline and not marked as uploaded."""
    for directory, folders, _ in os.walk(outputs):
        if Path(directory).name == "wandb":
            runs = [Path(directory) / name for name in folders if name.startswith("offline-run-")]
            yield from (run for run in runs if not any(run.glob("*.synced")))
            folders.clear()
        # The store holds thousands of files, and no run.
        folders[:] = [name for name in folders if name != "store"]

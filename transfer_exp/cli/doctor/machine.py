"""Libraries and devices."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

from transfer_exp.cli.console import in_bytes
from transfer_exp.cli.doctor.fact import Fact

_PACKAGE = "transfer-exp"
_OF_DEVELOPERS = ("browser", "docs", "test")


def libraries() -> Iterator[Fact]:
    """Yield the libraries that are needed, and those of each extra, by what the package says of itself."""
    try:
        needed = [Requirement(text) for text in requires(_PACKAGE) or ()]
    except PackageNotFoundError:
        yield Fact(
            "libraries", f"{_PACKAGE} is not installed, only found: pip install it, from its folder", broken=True
        )
        return
    always = [one for one in needed if one.marker is None or one.marker.evaluate({"extra": ""})]
    yield Fact("libraries", ", ".join(f"{one.name} {version(one.name)}" for one in always if _fits(one)))
    for one in always:
        if not _fits(one):
            yield Fact(one.name, f"{_found(one)}, needed is {one}: pip install '{one}'", broken=True)
    for extra in metadata(_PACKAGE).get_all("Provides-Extra") or ():
        if extra in _OF_DEVELOPERS:
            continue
        own = [one for one in needed if one not in always and one.marker and one.marker.evaluate({"extra": extra})]
        missing = [f"{one.name} ({_found(one)})" for one in own if not _fits(one)]
        way_out = f"without {', '.join(missing)}: pip install '{_PACKAGE}[{extra}]'"
        yield Fact(f"extra {extra}", way_out if missing else "present")


def _fits(needed: Requirement) -> bool:
    """Tell whether a library is there in a version that will do."""
    try:
        return needed.specifier.contains(version(needed.name), prereleases=True)
    except PackageNotFoundError:
        return False


def _found(needed: Requirement) -> str:
    try:
        return version(needed.name)
    except PackageNotFoundError:
        return "missing"


def devices() -> Iterator[Fact]:
    """Yield cores and memory of the machine, and what torch can compute on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = ""
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = f", {in_bytes(os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE'))} of memory"
    yield Fact("device cpu", f"{cores} cores{memory}")
    try:
        import torch
    except Exception as error:  # a library that does not fit, a file that is gone: whatever loading it says
        yield Fact("torch", f"cannot be loaded ({error}): install it again", broken=True)
        return
    for i in range(torch.cuda.device_count()):
        known = torch.cuda.get_device_properties(i)
        yield Fact(f"device cuda:{i}", f"{known.name}, {in_bytes(known.total_memory)} of memory")
    if not torch.cuda.device_count():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        yield Fact("device cuda", f"none (torch {torch.__version__} is {built})")
    if torch.backends.mps.is_available():
        yield Fact("device mps", f"{in_bytes(torch.mps.recommended_max_memory())} of memory")

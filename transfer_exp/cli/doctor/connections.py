"""Whether the hub and W&B answer, and what W&B knows: no secret is said, and nothing is waited for long."""

from __future__ import annotations

import netrc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from transfer_exp.cli.console import from_here
from transfer_exp.cli.doctor.fact import Fact
from transfer_exp.model_pool.hub import TIMEOUT, check_connection, hub_url

_OFFLINE = "offline works with model_pool=builtin, tracker.mode=offline, HF_HUB_OFFLINE=1 and what is kept already"


def network() -> Iterator[Fact]:
    """Yield for the hub and W&B whether they answer, within `TIMEOUT` seconds for both."""
    asked = {"Hugging Face": hub_url(), "W&B": _base()}
    answers: dict[str, str] = {}
    threads = [
        # Daemons, because one that looks a name up cannot be stopped, and must not hold the process.
        threading.Thread(target=lambda n=name, u=url: answers.update({n: check_connection(u)}), daemon=True)
        for name, url in asked.items()
        if url
    ]
    end = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0))
    in_time = dict(answers)
    for name, url in asked.items():
        said = in_time.get(name, "no answer") if url else "not asked, as the environment says offline"
        yield Fact(f"network {name}", f"{_host(url)}: {said}" if url else said)
    if threads and not any(said == "reached" for said in in_time.values()):
        yield Fact("no network", _OFFLINE)


def _base() -> str:
    """Return the address of W&B, or nothing where the user wants it left alone."""
    return "" if os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun") else _server()


def _server() -> str:
    return os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"


def _host(url: str) -> str:
    """Return the name of a server, without what else an address may hold."""
    try:
        return urlsplit(url).hostname or "an address without a name"
    except ValueError:
        return "an address that is none"


def wandb_state(outputs: Path) -> Iterator[Fact]:
    """Yield whether a key is at hand, without saying it, what is set, and which runs were never uploaded."""
    yield Fact("W&B login", _login(_host(_server())))
    said = f"; WANDB_MODE={os.environ['WANDB_MODE']} changes nothing" if "WANDB_MODE" in os.environ else ""
    yield Fact("W&B mode", f"as tracker.mode says, offline unless set{said}")
    waiting = sorted(_offline_runs(outputs))
    if waiting:
        last = from_here(waiting[-1])
        yield Fact("W&B runs", f"{len(waiting)} below {from_here(outputs)} not uploaded; the last: wandb sync {last}")
    else:
        yield Fact("W&B runs", f"none below {from_here(outputs)} that is not uploaded")


def _login(host: str) -> str:
    if os.environ.get("WANDB_API_KEY"):
        return "a key in WANDB_API_KEY"
    homes = (Path.home() / ".netrc", Path.home() / "_netrc")
    place = Path(os.environ["NETRC"]) if "NETRC" in os.environ else next((p for p in homes if p.exists()), homes[0])
    try:
        if netrc.netrc(place).authenticators(host):
            return f"a key for {host} in {place}"
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError, netrc.NetrcParseError) as error:  # whose own words may hold what is secret
        return f"{place} cannot be read ({type(error).__name__}): mend it, or wandb login"
    return f"no key for {host}: wandb login, or record with tracker.mode=offline"


def _offline_runs(outputs: Path) -> Iterator[Path]:
    """Yield the folders of runs that were recorded offline and have no mark of an upload."""
    for place, folders, _ in os.walk(outputs):
        if Path(place).name == "wandb":
            runs = [Path(place) / name for name in folders if name.startswith("offline-run-")]
            yield from (run for run in runs if not any(run.glob("*.synced")))
            folders.clear()
        # The store holds thousands of files, and no run.
        folders[:] = [name for name in folders if name != "store"]

"""Connection to the Hugging Face hub, checked once so that an offline process does not wait for every model."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from functools import lru_cache
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from transfer_exp.errors import redact_urls

TIMEOUT = 4.0
"""Seconds to wait for an answer."""
_TRUE = ("1", "ON", "YES", "TRUE")  # the values that huggingface_hub accepts as true
_log = logging.getLogger(__name__)


def hub_url() -> str:
    """Return the address of the hub, or an empty string if ``HF_HUB_OFFLINE`` is 1, on, yes or true."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in _TRUE
    return "" if offline else os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def check_connection(url: str) -> str:
    """Send a HEAD request; return ``reached`` for any response, else the reason for the failure."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=TIMEOUT):
            return "reached"
    except HTTPError:
        return "reached"
    except OSError as error:
        return f"not reached ({getattr(error, 'reason', error)})"
    except (HTTPException, ValueError) as error:  # the message may contain a password from the address
        return f"not reached ({type(error).__name__})"


def check_connections(urls: Iterable[str]) -> dict[str, str]:
    """Return `check_connection` of all nonempty addresses at once; ``no answer`` after `TIMEOUT` seconds."""
    urls, answers = list(filter(None, urls)), dict[str, str]()
    # Daemon threads: looking up a host name cannot be cancelled, and must not delay the end of the process.
    threads = [
        threading.Thread(target=lambda u=url: answers.update({u: check_connection(u)}), daemon=True) for url in urls
    ]
    deadline = time.monotonic() + TIMEOUT
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(deadline - time.monotonic(), 0))
    in_time = dict(answers)  # a copy, because late threads may still add answers
    return {url: in_time.get(url, "no answer") for url in urls}


def is_offline() -> bool:
    """Return whether the hub's client uses only its cache, as `go_offline_if_unreachable` may have decided."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@lru_cache(maxsize=1)
def go_offline_if_unreachable() -> None:
    """Set the hub's client to offline mode for this process if the hub does not answer.

    Otherwise the client retries for a minute per model. Cached files stay available. Warnings of the client are hidden
    unless ``HF_HUB_VERBOSITY`` is set, because the error after its last attempt says what is wrong. The hub is checked
    once per process.
    """
    from huggingface_hub import constants
    from huggingface_hub import logging as client_logging

    if "HF_HUB_VERBOSITY" not in os.environ:
        client_logging.set_verbosity_error()
    url = hub_url()
    if not url or is_offline():
        return
    answer = check_connections([url])[url]
    if answer != "reached":
        constants.HF_HUB_OFFLINE = True
        _log.warning("%s: %s: only cached files are available", redact_urls(url), answer)

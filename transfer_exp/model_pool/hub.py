"""Whether the hub answers: asked once, so that nobody waits for each network in turn where there is no network."""

from __future__ import annotations

import logging
import os
import threading
from functools import lru_cache
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PATIENCE = 4.0
"""Seconds for an answer."""
_YES = ("1", "ON", "YES", "TRUE")  # what huggingface_hub takes for it
_log = logging.getLogger(__name__)


def hub_url() -> str:
    """Return the address of the hub, or nothing where the user wants it left alone."""
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in _YES
    return "" if offline else os.environ.get("HF_ENDPOINT") or "https://huggingface.co"


def answer(url: str) -> str:
    """Ask for the head of a page, and return ``reached`` for any answer, or why there was none."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=PATIENCE):
            return "reached"
    except HTTPError:
        return "reached"
    except OSError as error:
        return f"not reached ({getattr(error, 'reason', error)})"
    except (HTTPException, ValueError) as error:  # whose own words may hold a password of the address
        return f"not reached ({type(error).__name__})"


def hub_is_off() -> bool:
    """Tell whether the hub's client looks into its cache alone."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


@lru_cache(maxsize=1)
def settle_hub() -> None:
    """Take the hub's client offline for this process where nobody answers: else it asks again and again for a minute.

    What is in its cache is found all the same.
    """
    from huggingface_hub import constants

    url, heard = hub_url(), list[str]()
    if not url or hub_is_off():
        return
    # A daemon, because looking a name up has no limit of its own, and must not hold the process.
    asking = threading.Thread(target=lambda: heard.append(answer(url)), daemon=True)
    asking.start()
    asking.join(PATIENCE)
    if heard != ["reached"]:
        constants.HF_HUB_OFFLINE = True
        _log.warning("%s: %s: only weights that are cached will be found", url, (heard or ["no answer"])[0])

"""Keep secrets out of recorded command lines and settings."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

from transfer_exp.errors import has_credentials, redact_urls

_SECRET = re.compile(
    r"(?:keys?|tokens?|secrets?|passwords?|passwd|passphrases?|passcodes?|credentials?|cookies?)(?![a-z])"
    r"|(?<![a-z])(?:pass|pwd|pat|auth|bearer|jwt)(?![a-z])",
    re.I,
)
"""Words of the name of a secret."""
_NOT_SECRET = ("PWD", "OLDPWD")
_SHORTEST = 8
"""Shortest secret value to hide anywhere in a text; shorter ones also occur in harmless words."""


def is_secret_name(name: str) -> bool:
    """Return whether a setting or an environment variable is named like a secret."""
    return name not in _NOT_SECRET and _SECRET.search(name) is not None


def is_secret(variable: str) -> bool:
    """Return whether an environment variable is named like a secret, or holds a URL with credentials."""
    return is_secret_name(variable) or has_credentials(os.environ.get(variable, ""))


def redacted_command(arguments: Sequence[str]) -> str:
    """Return a command line of the application with some arguments, quoted for the shell, without secrets.

    The values of environment variables named like a secret are hidden too, because the shell may have inserted one.
    """
    secrets = {f"${name}": value for name, value in os.environ.items() if is_secret_name(name)}
    redacted = []
    for argument in arguments:
        key, sign, _ = argument.partition("=")
        text = f"{key}=..." if sign and is_secret_name(key) else redact_urls(argument)
        for name, value in secrets.items():
            text = text.replace(value, name) if len(value) >= _SHORTEST else text
        redacted.append(text)
    return shlex.join(["python", "-m", "transfer_exp", *redacted])


def forbid_secrets_in_configs() -> None:
    """Let configs read the environment with ``${oc.env:NAME}``, except secrets: settings are stored with results."""
    OmegaConf.register_new_resolver("oc.env", _environment, replace=True)


def _environment(name: str, *default: str | None) -> str | None:
    if is_secret(name):
        raise ValueError(f"{name} looks like a secret, and settings are written to files: do not put it in a setting")
    return oc.env(name, *default)

"""Strict readers for environment variables, the only configuration of the console.

Each reader either returns a value of its type or raises ``ImproperlyConfigured`` with one line that names the variable,
what was wrong with it and what is expected. What was read is kept in ``READ``, so that a test can hold
``docs/configuration.md`` against it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

READ: dict[str, str] = {}

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def _raw(name: str, default: object) -> str | None:
    READ[name] = "" if default is None else str(default)
    value = os.environ.get(name)
    return value.strip() if value is not None and value.strip() else None


def text(name: str, default: str = "") -> str:
    """Any text; unset or blank gives the default."""
    return _raw(name, default) or default


def flag(name: str, default: bool = False) -> bool:
    """One of 1/0, true/false, yes/no, on/off in any case."""
    value = _raw(name, int(default))
    if value is None:
        return default
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name}={value!r} is neither yes nor no; use 1 or 0.")


def choice(name: str, default: str, choices: Sequence[str]) -> str:
    """One of the words, in any case."""
    value = (_raw(name, default) or default).lower()
    if value not in choices:
        raise ImproperlyConfigured(f"{name}={value!r} is not known; use one of {', '.join(choices)}.")
    return value


def integer(name: str, default: int, *, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, both included."""
    value = _raw(name, default)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError:
        raise ImproperlyConfigured(f"{name}={value!r} is no whole number; use {low} to {high}.") from None
    if not low <= number <= high:
        raise ImproperlyConfigured(f"{name}={number} is out of range; use {low} to {high}.")
    return number


def path(name: str, default: Path) -> Path:
    """An absolute path; a relative one is taken from the project's folder by the caller's default only."""
    value = _raw(name, default.name)
    if value is None:
        return default
    candidate = Path(value).expanduser()
    if not candidate.is_absolute():
        raise ImproperlyConfigured(f"{name}={value!r} is a relative path; give an absolute one.")
    return candidate


def file(name: str) -> Path | None:
    """The absolute path of a file that is there, or ``None`` when unset."""
    value = _raw(name, None)
    if value is None:
        return None
    candidate = Path(value).expanduser()
    if not candidate.is_absolute():
        raise ImproperlyConfigured(f"{name}={value!r} is a relative path; give an absolute one.")
    if not candidate.is_file():
        raise ImproperlyConfigured(f"{name}={value!r} is no file; correct the path, or leave it unset.")
    return candidate


def url(name: str, *, schemes: Sequence[str]) -> str | None:
    """An address with one of the schemes, or ``None`` when unset."""
    value = _raw(name, None)
    if value is None:
        return None
    if urlsplit(value).scheme not in schemes:
        expected = ", ".join(f"{scheme}://" for scheme in schemes)
        # The value may hold a password: only its scheme is repeated.
        raise ImproperlyConfigured(f"{name} starts with {value.split(':', 1)[0]!r}; use one of {expected}.")
    return value


def names(name: str, default: Sequence[str] = ()) -> list[str]:
    """Names separated by commas."""
    value = _raw(name, ",".join(default))
    if value is None:
        return list(default)
    return [part.strip() for part in value.split(",") if part.strip()]

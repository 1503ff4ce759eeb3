"""Secrets at rest: MultiFernet with keys in a file that is made at first start (mode 0600).

Rotation: put a new key on the first line of the file; old values are read with the keys below it and are written
with the first one when they are next saved.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import models


def _keys(file: Path) -> list[bytes]:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with file.open("xb") as handle:
                file.chmod(0o600)
                handle.write(Fernet.generate_key() + b"\n")
        except FileExistsError:
            pass
    return [line for line in file.read_bytes().splitlines() if line]


@lru_cache(maxsize=4)
def _cipher(file: Path) -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in _keys(file)])
    except ValueError:
        raise ImproperlyConfigured(f"{file} holds something that is no Fernet key; restore it from a backup.") from None


class EncryptedTextField(models.TextField):
    """Text that is encrypted in the database and plain in Python."""

    def get_prep_value(self, value: Any) -> Any:
        if value in (None, ""):
            return value
        return _cipher(settings.FIELD_KEYS_FILE).encrypt(str(value).encode()).decode()

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value in (None, ""):
            return value
        try:
            return _cipher(settings.FIELD_KEYS_FILE).decrypt(value.encode()).decode()
        except InvalidToken:
            raise ImproperlyConfigured(
                f"A stored secret can't be read with the keys in {settings.FIELD_KEYS_FILE}; restore that file."
            ) from None

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from rest_framework.authtoken.models import Token


@pytest.fixture
def client(live_server, machine, settings, tmp_path: Path) -> Iterator[httpx.Client]:
    """A REST client of the running server, with a token."""
    settings.DEPOT_DIR = tmp_path / "depot"
    token = Token.objects.create(user=User.objects.create_user("robot"))
    headers = {"Authorization": f"Token {token.key}"}
    with httpx.Client(base_url=f"{live_server.url}/api/v1", headers=headers, timeout=30) as made:
        yield made

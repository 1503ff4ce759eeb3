"""What all tests share: short leases, so that a take-over takes seconds."""

from __future__ import annotations

from django.conf import settings

pytest_plugins = ["tests.machines", "tests.fleet", "tests.redis_server", "tests.e2e.running", "tests.e2e.browser"]


def pytest_configure() -> None:
    settings.LEASE_SECONDS = 5
    # Pages render without collecting files first; the browser tests and a convention run the real storage.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)

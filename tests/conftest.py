"""What all tests share: short leases, so that a take-over takes seconds."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.contrib.contenttypes.management import create_contenttypes
from django.db.models.signals import post_migrate
from django.utils import translation

pytest_plugins = [
    "tests.machines",
    "tests.fleet",
    "tests.driven",
    "tests.redis_server",
    "tests.postgres",
    "tests.e2e.running",
    "tests.e2e.browser",
]


def pytest_configure() -> None:
    settings.LEASE_SECONDS = 5
    # Pages render without collecting files first; the browser tests and a convention run the real storage.
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    settings.VAR_DIR.mkdir(parents=True, exist_ok=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In CI a test that fails gets a second go, and the summary says so: browsers, machines and servers share a busy
    box there. Not a fault test: it is repeated to find what goes wrong seldom.
    """
    if os.environ.get("CI") == "true":
        for item in items:
            if not item.nodeid.startswith("tests/faults/"):
                item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def django_db_modify_db_settings_parallel_suffix() -> None:
    """Each process's database lies in its own state folder (``tests.apart``): it needs no name of its own."""


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """A test that commits ends with an empty database, and with it Django makes every model's permissions anew, which
    nothing here asks for: a third of a second each time.
    """
    post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
    post_migrate.disconnect(create_contenttypes)


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    """A request in this process leaves its reader's language behind, for whatever test comes next."""
    yield
    translation.deactivate()

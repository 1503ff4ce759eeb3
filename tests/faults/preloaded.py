"""What every forked worker needs, imported once."""

import django

django.setup()

import asyncssh  # noqa: E402, F401

from jobs import registry  # noqa: E402
from jobs.engine import runner  # noqa: E402, F401
from tests import command_kind  # noqa: E402, F401
from tests.faults import kinds, worker  # noqa: E402, F401

registry.all_kinds()

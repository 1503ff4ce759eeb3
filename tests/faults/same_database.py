"""Settings of a process that works on the tests' own database."""

from console.settings import *  # noqa: F403
from console.settings import DATABASES

DATABASES["default"]["NAME"] = DATABASES["default"]["TEST"]["NAME"]

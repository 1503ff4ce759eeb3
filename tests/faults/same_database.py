"""Settings of a process that works on the tests' own database."""

import os

from console.settings import *  # noqa: F403
from console.settings import DATABASES

DATABASES["default"]["NAME"] = DATABASES["default"]["TEST"]["NAME"]
# A test that locks the database need not wait for as long as a person would.
if "CONSOLE_BUSY_SECONDS" in os.environ:
    DATABASES["default"]["OPTIONS"]["timeout"] = float(os.environ["CONSOLE_BUSY_SECONDS"])

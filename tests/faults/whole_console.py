"""Settings of a whole console that knows the kinds of these tests."""

from console.settings import *  # noqa: F403
from console.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.apps.TestKinds"]

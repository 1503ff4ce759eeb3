"""Stands in for the reading process where the kernel ends it."""

import os
import signal

os.kill(os.getpid(), signal.SIGKILL)

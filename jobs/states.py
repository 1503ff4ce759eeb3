"""States of jobs and steps, and the moves that are allowed.

Job:

===============  =====================================================================  ==============================
state            meaning                                                                goes to
===============  =====================================================================  ==============================
``queued``       planned and stored; no worker has it                                   running, waiting, cancelled
``waiting``      another job holds one of its machines; ``waits_for`` says which        running, waiting, cancelled
``running``      a worker holds its lease                                               any end, cancelling, running
``cancelling``   asked to stop; the worker is stopping what runs                        any end, cancelling
``succeeded``    every step is done                                                     (end)
``failed``       a step ended as it must not: expected, with a code, cause and mend     (end)
``errored``      the console itself is at fault: a bug, its traceback is kept           (end)
``cancelled``    a person stopped it                                                    (end)
``interrupted``  a run was cut by a reboot and its kind does not say it may be repeated (end)
===============  =====================================================================  ==============================

``running`` to ``running`` is a take-over: the lease had run out, the attempt number rises by one.

Step: ``pending`` -> ``running`` -> ``succeeded``, ``skipped``, ``failed``, ``errored``, ``cancelled`` or
``interrupted``. ``unreachable`` is no end: the link is cut, the run goes on there, its log follows.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    QUEUED = "queued", _("Queued")
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    CANCELLING = "cancelling", _("Cancelling")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    ERRORED = "errored", _("Errored")
    CANCELLED = "cancelled", _("Cancelled")
    INTERRUPTED = "interrupted", _("Interrupted")


class StepState(models.TextChoices):
    PENDING = "pending", _("Pending")
    RUNNING = "running", _("Running")
    UNREACHABLE = "unreachable", _("Out of reach")
    SUCCEEDED = "succeeded", _("Succeeded")
    SKIPPED = "skipped", _("Skipped")
    FAILED = "failed", _("Failed")
    ERRORED = "errored", _("Errored")
    CANCELLED = "cancelled", _("Cancelled")
    INTERRUPTED = "interrupted", _("Interrupted")


UNSTARTED = (JobState.QUEUED, JobState.WAITING)
HELD = (JobState.RUNNING, JobState.CANCELLING)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.ERRORED, JobState.CANCELLED, JobState.INTERRUPTED)
DONE_STEPS = (StepState.SUCCEEDED, StepState.SKIPPED)

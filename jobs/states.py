"""States of jobs and steps, and the moves that are allowed. Every move is ``jobs.transitions``: conditional, recorded.

Job:

===============  =====================================================================  ==============================
state            meaning                                                                goes to
===============  =====================================================================  ==============================
``proposed``     planned and stored; another person has to approve the plan's hash      queued, cancelled
``queued``       stored; no worker has it                                               running, waiting, paused,
                                                                                        cancelled; when it is planned
                                                                                        only now: queued, proposed,
                                                                                        errored
``waiting``      something is in its way; ``waits_on`` says what, ``waits_for`` which   like queued
                 job, if it is one
``running``      a worker holds its lease                                               any end, pausing, paused,
                                                                                        cancelling, running
``pausing``      asked to pause; what runs is finished first, nothing else is begun     any end, paused, running,
                                                                                        cancelling, pausing
``paused``       stopped before a step; keeps its machines, no worker has it            queued, cancelled
``cancelling``   asked to stop; the worker is stopping what runs                        any end, cancelling
``succeeded``    every step is done                                                     (end)
``failed``       a step ended as it must not: expected, with a code, cause and mend     (end)
``errored``      the console itself is at fault: a bug, its traceback is kept           (end)
``cancelled``    a person stopped it, or it never began: ``failure`` says why           (end)
``interrupted``  a run was cut by a reboot and its kind does not say it may be repeated (end)
===============  =====================================================================  ==============================

``running`` to ``running`` (likewise ``pausing``, ``cancelling``) is a take-over: the lease had run out, the attempt
number rises by one. A job that was resumed is ``queued`` like a new one, but keeps its machines.

A job that comes after others waits without a plan (its hash is empty) until they have ended; then it is planned, and
queued or proposed like a new one (``jobs.pipelines.deferral``). What can't be planned is ``cancelled``, or ``errored``
where that is the console's fault.

Step: ``pending`` -> ``running`` -> ``succeeded``, ``skipped``, ``failed``, ``errored``, ``cancelled`` or
``interrupted``. ``unreachable`` is no end: the link is cut, the run goes on there, its log follows.
"""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class JobState(models.TextChoices):
    PROPOSED = "proposed", _("Proposed")
    QUEUED = "queued", _("Queued")
    WAITING = "waiting", _("Waiting")
    RUNNING = "running", _("Running")
    PAUSING = "pausing", _("Pausing")
    PAUSED = "paused", _("Paused")
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
HELD = (JobState.RUNNING, JobState.PAUSING, JobState.CANCELLING)
# Nobody works on them before a person says so.
IDLE = (JobState.PROPOSED, JobState.PAUSED)
ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.ERRORED, JobState.CANCELLED, JobState.INTERRUPTED)
DONE_STEPS = (StepState.SUCCEEDED, StepState.SKIPPED)

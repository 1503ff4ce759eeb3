"""How a job can end badly.

::

    JobFailed            expected: code, cause and mend for the person
    ├── PlanRefused      the plan can't be made from these parameters and targets
    └── Interrupted      a run was cut by a reboot
    LeaseLost            another worker has the job now; this one stops and writes nothing more
    CancelRequested      a person asked to stop
"""

from __future__ import annotations


class JobFailed(Exception):
    """A step ended as it must not. ``str()`` is one sentence: what happened, on which machine."""

    def __init__(self, code: str, cause: str, mend: str) -> None:
        super().__init__(cause)
        self.code = code
        self.cause = cause
        self.mend = mend

    def to_json(self) -> dict[str, str]:
        return {"code": self.code, "cause": self.cause, "mend": self.mend}


class PlanRefused(JobFailed):
    """Nothing was started: the parameters or the targets don't allow it. ``field`` names the parameter, if one does."""

    def __init__(self, code: str, cause: str, mend: str, field: str = "") -> None:
        super().__init__(code, cause, mend)
        self.field = field


class Interrupted(JobFailed):
    """The machine restarted while a run was under way; whether it finished is not known."""


class LeaseLost(Exception):
    """A stale worker's write was refused."""


class CancelRequested(Exception):
    """The job is to stop."""

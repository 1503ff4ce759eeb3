"""Why a decision was not taken.

::

    JobFailed
    ├── OwnProposal     approval-own      403  who asked may not decide
    ├── NotWaiting      approval-decided  409  it is decided already
    ├── OtherPlan       plan-mismatch     422  another plan was looked at than the one that waits
    └── PlanChanged     plan-changed      409  the approval lapsed; ``more`` says what is different
"""

from __future__ import annotations

from typing import Any, ClassVar

from jobs.failures import JobFailed


class OwnProposal(JobFailed):
    status: ClassVar[int] = 403


class NotWaiting(JobFailed):
    status: ClassVar[int] = 409


class OtherPlan(JobFailed):
    status: ClassVar[int] = 422


class PlanChanged(JobFailed):
    status: ClassVar[int] = 409

    def __init__(self, code: str, cause: str, mend: str, differs: list[dict[str, Any]]) -> None:
        super().__init__(code, cause, mend)
        self.more = {"differs": differs}

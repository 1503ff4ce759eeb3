"""A process that fires a schedule and stands still at one moment of it, until the test kills it."""

from __future__ import annotations

import sys
import time

import django


def main(schedule_id: int, moment: str) -> None:
    django.setup()
    from jobs.schedules import firing
    from tests import command_kind

    command_kind.register()

    def stand_still(*_: object) -> None:
        print("here", flush=True)
        time.sleep(600)

    # Before the launch, or in the transaction that stores the job.
    setattr(firing, moment, stand_still)
    firing.fire(schedule_id)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from django.db import connection

from jobs.models import Job
from jobs.services import launch


def test_a_launch_that_is_repeated_even_at_the_same_time_makes_one_job(machine):
    def once(_: int) -> int:
        try:
            return launch("command", {"command": "true"}, [machine], actor="ada", once="1:token").pk
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as threads:
        made = set(threads.map(once, range(8)))
    assert len(made) == 1 and Job.objects.count() == 1
    assert launch("command", {"command": "true"}, [machine], actor="ada", once="1:other").pk not in made
    assert launch("command", {"command": "true"}, [machine], actor="ada").once is None

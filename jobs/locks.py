"""One mutating job per machine. A job locks all its machines in one transaction, or none: no deadlock can arise."""

from __future__ import annotations

from jobs.models import Job, MachineLock


def acquire(job: Job) -> int | None:
    """Lock every machine of the job, or return the id of a job that holds one. Call inside a transaction."""
    machines = sorted(job.machines.values_list("pk", flat=True))
    held = MachineLock.objects.filter(machine__in=machines).exclude(job=job).order_by("machine").first()
    if held is not None:
        return held.job_id
    mine = set(MachineLock.objects.filter(job=job).values_list("machine", flat=True))
    MachineLock.objects.bulk_create([MachineLock(machine_id=pk, job=job) for pk in machines if pk not in mine])
    return None


def release(job_id: int) -> list[int]:
    """Free the job's machines; returns the jobs that waited for it. Call inside a transaction."""
    MachineLock.objects.filter(job=job_id).delete()
    return list(Job.objects.filter(waits_for=job_id).order_by("id").values_list("pk", flat=True))

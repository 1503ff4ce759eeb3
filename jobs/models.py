"""Jobs, their steps, their log. ``jobs.states`` has the state machine in words."""

from __future__ import annotations

from django.db import models
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Coalesce, Left, Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from jobs.states import ENDED, JobState, StepState


class LogLimit(models.TextChoices):
    """Why a log was removed."""

    AGE = "age", _("older than logs are kept")
    SIZE = "size", _("all logs together took more than they may")


class Job(models.Model):
    """One request to do something.

    ``attempt`` is the fence: it rises by one each time a worker takes the job, and a write that carries an older one is
    refused. ``log_length`` is the byte offset at which the next chunk of the job's log begins. ``once`` names the
    act of launching: a form that is sent twice launches one job. ``retry_of`` is the job that this one runs again.
    ``waits_on`` says what keeps a waiting job from beginning (``jobs.admission``), ``wake_at`` when to look again;
    ``deadline`` is when all of it must be over. ``cause`` is how the failure's cause begins, in small letters; the
    database keeps it, for the history's search.

    The indexes are those of ``jobs.history.query``, argued in docs/decisions/0010.
    """

    kind = models.CharField(max_length=40)
    params = models.JSONField(default=dict)
    machines = models.ManyToManyField("inventory.Machine", through="JobTarget", related_name="jobs", blank=True)
    plan = models.JSONField()
    plan_hash = models.CharField(max_length=64)
    queue = models.CharField(max_length=16)
    mutates = models.BooleanField(default=True)
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.QUEUED)
    failure = models.JSONField(default=dict, blank=True)
    cause = models.GeneratedField(
        expression=Left(
            Lower(Coalesce(KeyTextTransform("cause", "failure"), models.Value("", output_field=models.TextField()))),
            # PostgreSQL takes no row into an index that is longer than a third of a page.
            400,
        ),
        output_field=models.TextField(),
        db_persist=True,
    )
    traceback = models.TextField(blank=True, default="")
    result = models.JSONField(default=dict, blank=True)
    options = models.JSONField(default=dict, blank=True)
    priority = models.PositiveSmallIntegerField(default=50)
    waits_on = models.JSONField(default=dict, blank=True)
    wake_at = models.DateTimeField(null=True, blank=True)
    deadline = models.DateTimeField(null=True, blank=True)
    paused_at = models.DateTimeField(null=True, blank=True)
    waits_for = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="waiters")
    retry_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.SET_NULL, related_name="retries")
    created_by = models.CharField(max_length=150, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=0)
    lease_owner = models.CharField(max_length=80, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    log_length = models.PositiveBigIntegerField(default=0)
    # Of all its bytes by position; set when the job ends, and kept when the log itself is removed.
    log_sha256 = models.CharField(max_length=64, blank=True, default="")
    # Bytes that the log of an ended job takes in the database.
    log_stored = models.PositiveBigIntegerField(default=0)
    log_packed = models.BooleanField(default=False)
    log_removed_at = models.DateTimeField(null=True, blank=True)
    log_removed_for = models.CharField(max_length=8, blank=True, default="", choices=LogLimit.choices)
    once = models.CharField(max_length=120, null=True, blank=True, unique=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "lease_until"], name="job_state_lease"),
            models.Index(fields=["kind", "-id"], name="job_kind"),
            models.Index(fields=["state", "-id"], name="job_state"),
            models.Index(fields=["created_by", "-id"], name="job_person"),
            models.Index(fields=["kind", "state", "-id"], name="job_kind_state"),
            models.Index(fields=["kind", "created_by", "-id"], name="job_kind_person"),
            models.Index(fields=["state", "created_by", "-id"], name="job_state_person"),
            models.Index(fields=["kind", "state", "created_by", "-id"], name="job_kind_state_person"),
            models.Index(
                fields=["-id", "kind", "state", "created_by", "cause"], condition=~models.Q(cause=""), name="job_cause"
            ),
            models.Index(fields=["-ended_at"], name="job_ended"),
            # What ``jobs.logs`` looks for: logs that nobody closed, and those that may be removed, oldest first.
            models.Index(
                fields=["id"],
                condition=models.Q(log_packed=False, log_length__gt=0, ended_at__isnull=False),
                name="job_log_open",
            ),
            models.Index(
                fields=["ended_at", "log_stored"], condition=models.Q(log_stored__gt=0), name="job_log_stored"
            ),
            models.Index(
                fields=["log_removed_at"],
                condition=models.Q(log_stored__gt=0, log_removed_at__isnull=False),
                name="job_log_going",
            ),
        ]

    def __str__(self) -> str:
        return f"job {self.pk}"

    @property
    def ended(self) -> bool:
        return self.state in ENDED


class JobTarget(models.Model):
    """A machine that a job works on."""

    # No index on either alone: each of the two below begins with one of them.
    job = models.ForeignKey(Job, on_delete=models.CASCADE, db_index=False)
    machine = models.ForeignKey("inventory.Machine", on_delete=models.CASCADE, db_index=False)

    class Meta:
        # The table that Django made for it before it had a model of its own.
        db_table = "jobs_job_machines"
        unique_together = [("job", "machine")]
        indexes = [models.Index(fields=["machine", "-job"], name="jobs_of_machine")]

    def __str__(self) -> str:
        return f"{self.job} on {self.machine}"


class JobStep(models.Model):
    """One step of the plan, checkpointed. ``run_id`` names the run folder on the machine; it never changes.

    The job pauses before a step that is ``held``. ``began_here`` is not stored: when this process began it, by its
    monotonic clock.
    """

    began_here: float | None = None
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    stage = models.PositiveIntegerField()
    lane = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    compensates = models.BooleanField(default=False)
    # None: the console itself does it.
    machine = models.ForeignKey(
        "inventory.Machine", null=True, blank=True, on_delete=models.PROTECT, related_name="steps"
    )
    key = models.CharField(max_length=40)
    title = models.CharField(max_length=200)
    action = models.JSONField()
    state = models.CharField(max_length=12, choices=StepState.choices, default=StepState.PENDING)
    held = models.BooleanField(default=False)
    run_id = models.CharField(max_length=64, blank=True, default="")
    boot_id = models.CharField(max_length=64, blank=True, default="")
    exit_status = models.IntegerField(null=True, blank=True)
    progress = models.FloatField(null=True, blank=True)
    failure = models.JSONField(default=dict, blank=True)
    result = models.JSONField(default=dict, blank=True)
    log_length = models.PositiveBigIntegerField(null=True, blank=True)
    log_sha256 = models.CharField(max_length=64, blank=True, default="")
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["job", "stage", "lane", "compensates", "position"]
        constraints = [
            models.UniqueConstraint(fields=["job", "stage", "lane", "compensates", "position"], name="one_step_a_place")
        ]

    def __str__(self) -> str:
        return f"{self.job} {self.title}"


class JobTransition(models.Model):
    """A job went from one state to another: who did it and when. The first of a job comes from no state."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="transitions")
    at = models.DateTimeField(default=timezone.now)
    from_state = models.CharField(max_length=12, choices=JobState.choices, blank=True, default="")
    to_state = models.CharField(max_length=12, choices=JobState.choices)
    # A user's name, ``worker:NAME``, ``schedule:ID`` or ``console``.
    actor = models.CharField(max_length=150)
    attempt = models.PositiveIntegerField(default=0)
    reason = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["job", "id"]

    def __str__(self) -> str:
        return f"{self.job}: {self.from_state or 'new'} -> {self.to_state}"


class LogChunk(models.Model):
    """A piece of a job's log.

    ``source`` and ``source_offset`` say where it came from (a run and the byte offset in its log), and make storing it
    twice a no-op. ``position`` is its byte offset in the job's log: what pages and clients ask by.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="chunks")
    step = models.ForeignKey(JobStep, on_delete=models.CASCADE, related_name="chunks")
    source = models.CharField(max_length=80)
    source_offset = models.PositiveBigIntegerField()
    position = models.PositiveBigIntegerField()
    size = models.PositiveIntegerField()
    data = models.BinaryField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["job", "position"]
        constraints = [
            models.UniqueConstraint(fields=["source", "source_offset"], name="a_chunk_is_stored_once"),
            models.UniqueConstraint(fields=["job", "position"], name="a_position_is_taken_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source}@{self.source_offset}"


class LogBlock(models.Model):
    """Chunks of a source whose run has ended, deflated: ``jobs.logs.pieces`` says how. Places as those of a chunk.

    ``size`` is that of the bytes that were printed.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="blocks", db_index=False)
    step = models.ForeignKey(JobStep, on_delete=models.CASCADE, related_name="blocks")
    source = models.CharField(max_length=80)
    source_offset = models.PositiveBigIntegerField()
    position = models.PositiveBigIntegerField()
    size = models.PositiveIntegerField()
    at = models.DateTimeField()
    data = models.BinaryField()

    class Meta:
        ordering = ["job", "position"]
        constraints = [
            models.UniqueConstraint(fields=["source", "source_offset"], name="a_block_is_stored_once"),
            models.UniqueConstraint(fields=["job", "position"], name="a_block_has_its_own_place"),
        ]

    def __str__(self) -> str:
        return f"{self.source}@{self.source_offset}, packed"


class MachineLock(models.Model):
    """One mutating job at a time on a machine: the row is the lock."""

    machine = models.OneToOneField("inventory.Machine", on_delete=models.CASCADE, related_name="lock")
    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="locks")
    since = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"{self.machine} held by {self.job}"

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from hardware.statements import Prepared, insert, store
from jobs.models import Job, JobTransition
from jobs.states import HELD, JobState

pytestmark = pytest.mark.django_db(transaction=True)


def make(**values: object) -> Job:
    return Job.objects.create(kind="any", plan={"stages": []}, plan_hash="", queue="machines", **values)


def plain(row: object) -> dict[str, object]:
    return {name: value for name, value in vars(row).items() if not name.startswith("_")}


ONE = Prepared(Job, lambda jobs, job_id: jobs.filter(pk=job_id), int)
OWN = Prepared(
    Job,
    lambda jobs, job_id, owner: jobs.filter(pk=job_id, lease_owner=owner, state__in=HELD),
    int,
    str,
    always=lambda: {"attempt": F("attempt") + 1},
)


def test_a_prepared_query_reads_what_the_orm_reads():
    job = make(failure={"cause": "Full"}, started_at=timezone.now(), params={"a": [1, None]})
    make()
    for _ in range(2):
        (read,) = ONE.objects(job.pk)
        assert plain(read) == plain(Job.objects.get(pk=job.pk)) and not read._state.adding
    assert ONE.objects(-1) == []


def test_a_prepared_update_writes_new_values_each_time_to_those_it_is_for():
    one, other = make(state=JobState.RUNNING, lease_owner="a"), make(state=JobState.RUNNING, lease_owner="b")
    for at, said in enumerate(({"cause": "one"}, {"cause": "two"}), 1):
        now = timezone.now()
        assert OWN.update(one.pk, "a", failure=said, ended_at=now, waits_for=other.pk) == 1
        one.refresh_from_db()
        assert (one.failure, one.ended_at, one.waits_for, one.attempt) == (said, now, other, at)
    assert OWN.update(one.pk, "b", failure={}) == 0
    other.refresh_from_db()
    assert (other.failure, other.attempt) == ({}, 0)


def test_an_expression_is_reckoned_anew_each_time():
    job = make(state=JobState.RUNNING, lease_owner="a")
    for step in (1, 10):
        assert OWN.update(job.pk, "a", log_length=F("log_length") + step) == 1
    job.refresh_from_db()
    assert (job.log_length, job.attempt) == (11, 2)


def test_a_row_is_inserted_with_the_defaults_of_its_fields():
    job = make()
    insert(JobTransition, job_id=job.pk, to_state=JobState.QUEUED, actor="ada", reason={"a": "量"})
    row = JobTransition.objects.get(job=job, actor="ada")
    assert (row.from_state, row.attempt, row.reason) == ("", 0, {"a": "量"})
    assert abs((timezone.now() - row.at).total_seconds()) < 60


def test_an_object_is_stored_as_its_own_save_would_and_knows_its_id():
    job = Job(kind="command", plan={"notes": ["量"]}, queue="machines", params={"a": 1}, created_by="ada")
    store(job)
    stored = Job.objects.get(created_by="ada")
    assert job.pk == stored.pk and not job._state.adding and job.cause == ""
    assert {field.attname: getattr(job, field.attname) for field in Job._meta.concrete_fields} == {
        field.attname: getattr(stored, field.attname) for field in Job._meta.concrete_fields
    }
    job.priority = 70
    job.save()
    assert Job.objects.get(created_by="ada").priority == 70


def test_a_prepared_delete_takes_only_what_it_is_for():
    one, other = make(), make()
    for job in (one, other):
        insert(JobTransition, job_id=job.pk, to_state=JobState.QUEUED, actor="ada")
    gone = Prepared(JobTransition, lambda rows, job_id: rows.filter(job=job_id), int)
    assert gone.delete(one.pk) == 1
    assert list(JobTransition.objects.values_list("job", flat=True)) == [other.pk]


def test_a_parameter_that_the_query_does_not_pass_on_is_refused():
    lost = Prepared(Job, lambda jobs, job_id: jobs.filter(pk__in=[]) | jobs.filter(pk=1), int)
    with pytest.raises(AssertionError, match="can't be filled in"):
        lost.rows(7)


def test_what_the_database_refuses_is_djangos_error_and_a_transaction_that_is_broken_is_not_written_to():
    job = make(once="k")
    with pytest.raises(IntegrityError):
        store(Job(kind="any", plan={}, plan_hash="", queue="machines", once="k"))
    with pytest.raises(TransactionManagementError), transaction.atomic():
        transaction.set_rollback(True)
        OWN.update(job.pk, "a", failure={})
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def test_who_looks_at_every_statement_sees_these_too():
    job = make()
    with CaptureQueriesContext(connection) as seen:
        ONE.objects(job.pk)
        insert(JobTransition, job_id=job.pk, to_state=JobState.QUEUED, actor="100 %s")
    assert [query["sql"].split()[0] for query in seen] == ["SELECT", "INSERT"]


def test_signs_that_drivers_read_are_text_in_a_value():
    insert(JobTransition, job_id=make().pk, to_state=JobState.QUEUED, actor="100 %s ? %% :a", reason={"%s": "?"})
    row = JobTransition.objects.get(actor="100 %s ? %% :a")
    assert row.reason == {"%s": "?"}

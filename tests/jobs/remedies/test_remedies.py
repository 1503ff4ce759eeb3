"""The remedy of an alert: planned, launched once, linked; over REST and by way of the New job page."""

from __future__ import annotations

from contextlib import closing
from io import BytesIO
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from hardware.inventory.models import Machine
from hardware.telemetry.alerts import builtin
from hardware.telemetry.alerts.models import Alert, Rule
from jobs.control import cancel
from jobs.depot.services import ingest
from jobs.failures import PlanRefused
from jobs.models import Job
from jobs.remedies import shown
from jobs.remedies.models import Remedy
from jobs.remedies.services import proposal, run
from jobs.rollout.models import Deployment
from tests.console.pages import Page, sign_in
from tests.jobs.examples import facts, serving
from tests.jobs.kinds.test_install_kinds import with_facts


@pytest.fixture
def alert(machine: Machine, settings, tmp_path) -> Alert:
    settings.DEPOT_DIR = tmp_path / "depot"
    serving([with_facts(machine, facts())])
    builtin.ensure()
    rule = Rule.objects.get(slug="npu-idle-while-requests-wait")
    return Alert.objects.create(rule=rule, machine=machine, npu="0-0", since=timezone.now())


@pytest.fixture
def client(alert: Alert) -> APIClient:
    made = APIClient()
    made.force_authenticate(User.objects.create_user("ada", is_staff=True))
    return made


def of_rule(alert: Alert, **remedy) -> Alert:
    Rule.objects.filter(pk=alert.rule_id).update(remedy=remedy)
    return Alert.objects.get(pk=alert.pk)


def packages(*names: str) -> list[int]:
    """Driver and firmware in the depot, by what their names say."""
    made = []
    for name in names:
        what, version = name.split("_")
        system = "_linux-aarch64" if what == "driver" else ""
        file, full = BytesIO(name.encode()), f"Ascend-hdk-910-npu-{what}_{version}{system}.run"
        made.append(ingest(file, name=full, type=what, actor="ada", version=version).pk)
    return made


@pytest.mark.parametrize(
    ("remedy", "said"),
    [
        ({"kind": "nope"}, "There is no kind of job nope; there are "),
        ({"kind": "tune-serving", "params": {"max_bach": "32"}}, "tune-serving has no parameter max_bach; it has "),
        ({"kind": "tune-serving", "params": {"max_batch": "many"}}, "max_batch: "),
        ({"kind": "tune-serving", "params": {"preprocessing_workers": 0}}, "preprocessing_workers: "),
        ({"kind": "install-driver", "params": {"driver": "{driver}"}}, "firmware: "),
    ],
)
def test_a_remedy_that_no_alert_could_launch_is_refused_when_the_rule_is_saved(alert, client, remedy, said):
    rule = Rule.objects.get(slug="npu-idle-while-requests-wait")
    etag = client.get(f"/api/v1/rules/{rule.slug}/")["ETag"]
    answer = client.patch(f"/api/v1/rules/{rule.slug}/", {"remedy": remedy}, format="json", HTTP_IF_MATCH=etag)
    assert answer.status_code == 400 and answer.json()["errors"]["remedy"][0].startswith(said), answer.json()
    # One that was stored when there was such a job does not stand in the way of a rule that is switched off.
    Rule.objects.filter(pk=rule.pk).update(remedy=remedy)
    etag = client.get(f"/api/v1/rules/{rule.slug}/")["ETag"]
    off = client.patch(f"/api/v1/rules/{rule.slug}/", {"enabled": False}, format="json", HTTP_IF_MATCH=etag)
    assert off.status_code == 200


def test_the_page_leads_to_the_plan_filled_in_and_the_job_that_is_run_there_is_linked(alert, live_server):
    address = shown.of_alert(alert).address
    asked = parse_qs(urlsplit(address).query)
    assert asked["kind"] == ["tune-serving"] and asked["machine"] == ["host-1"]
    assert asked["params.preprocessing_workers"] == ["8"]
    with closing(sign_in(live_server.url, User.objects.create_user("bob"))) as site:
        page = Page(site.get(address))
        assert f"Remedy for alert {alert.pk}, NPU idle while requests wait" in page.text and "docker run" in page.text
        form = {name: values[-1] for name, values in asked.items()}
        hidden = {name: page.source.split(f'name="{name}" value="')[1].split('"')[0] for name in ("token", "plan_hash")}
        assert f'name="alert" value="{alert.pk}"' in page.source
        given = {**form, **hidden, "do": "run", "confirm": "host-1"}
        job = Page(site.post("/jobs/new/", data=given, follow_redirects=True))
        assert f"alert {alert.pk}, NPU idle while requests wait" in job.text
    link = Remedy.objects.get()
    assert (link.alert_id, link.actor, link.job.kind) == (alert.pk, "bob", "tune-serving")
    (tried,) = shown.of_alert(alert).jobs
    assert tried.under_way and shown.of_alert(alert).address == ""


def test_over_rest_it_is_shown_and_launched_once_however_often_it_is_asked(client, alert):
    planned = client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()
    assert (planned["kind"], planned["params"]) == ("tune-serving", {"preprocessing_workers": 8})
    assert planned["jobs"] == [] and planned["machines"][0]["machine"] == "host-1"
    given = {"plan_hash": planned["plan_hash"]}

    def post(key: str):
        return client.post(f"/api/v1/alerts/{alert.pk}/remedy/", given, format="json", HTTP_IDEMPOTENCY_KEY=key)

    first, again, other = post("a"), post("a"), post("b")
    assert first.status_code == again.status_code == 201 and first.json()["id"] == again.json()["id"]
    assert other.status_code == 422 and other.json()["code"] == "remedy-under-way"
    assert Job.objects.count() == 1
    cancel(Job.objects.get(), actor="ada")
    assert post("c").status_code == 201
    assert len(client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()["jobs"]) == 2


def test_another_plan_than_the_one_that_was_shown_is_not_run(client, alert):
    shown_then = client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()["plan_hash"]
    Deployment.objects.update(overrides={"max_batch": 4})
    answer = client.post(f"/api/v1/alerts/{alert.pk}/remedy/", {"plan_hash": shown_then}, format="json")
    assert answer.status_code == 422 and answer.json()["code"] == "plan-changed" and not Remedy.objects.exists()


def test_what_cannot_be_mended_by_a_job_says_so(client, alert):
    none = of_rule(alert)
    assert proposal(none) is None and shown.of_alert(none).address == ""
    assert client.get(f"/api/v1/alerts/{alert.pk}/remedy/").json()["code"] == "no-remedy"
    unknown = of_rule(alert, kind="no-such-kind", params={})
    assert proposal(unknown) is None
    Alert.objects.update(state="ended", ended_at=timezone.now(), why_ended="cleared")
    with pytest.raises(PlanRefused, match="has ended"):
        run(of_rule(alert, kind="tune-serving", params={"max_batch": "8"}), actor="ada")


def test_the_release_that_the_machine_serves_is_filled_in(alert):
    there = Deployment.objects.get()
    found = proposal(of_rule(alert, kind="rollout", params={"release": "{release}"}))
    assert found is not None and found.params == {"release": str(there.release_id)}
    there.delete()
    with pytest.raises(PlanRefused, match="host-1: no release is served there"):
        proposal(Alert.objects.get(pk=alert.pk))


def test_the_packages_that_like_machines_have_are_filled_in_or_what_is_missing_is_named(alert):
    def params(*conflicts: dict) -> dict:
        Alert.objects.update(values={"conflicts": list(conflicts)})
        found = proposal(of_rule(alert, kind="install-driver", params={"driver": "{driver}", "firmware": "{firmware}"}))
        assert found is not None and found.machines == [alert.machine]
        return found.params

    def differs(part: str, others: str) -> dict:
        return {"part": part, "has": "23.0.6", "others": others, "versions": ["23.0.6", "24.1.0"], "among": "site:"}

    with pytest.raises(PlanRefused, match="the depot has no driver") as refused:
        params(differs("driver", "24.1.0"))
    assert refused.value.code == "package-missing"
    driver, firmware, newer = packages("driver_24.1.0", "firmware_7.5.0.2.220", "firmware_7.8.0.6.201")
    assert params(differs("driver", "24.1.0")) == {"driver": driver, "firmware": firmware}
    assert params(differs("driver", "24.1.0"), differs("firmware", "7.8.0.6.201"))["firmware"] == newer
    with pytest.raises(PlanRefused, match="none of them most"):
        params(differs("driver", ""))
    with pytest.raises(PlanRefused, match="it is CANN that differs"):
        params(differs("cann", "8.0.0"))
    assert "it is CANN that differs" in shown.of_alert(Alert.objects.get(pk=alert.pk)).refusal

"""Pages of alerts, rules and silences, as a person's browser gets them."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from django.utils.translation import gettext, override

from hardware.telemetry.alerts import services
from hardware.telemetry.alerts.models import Alert, Rule, Silence
from hardware.telemetry.alerts.opening import open_alert
from tests.hardware.telemetry.alerts.made import machine

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser() -> Client:
    client = Client()
    client.force_login(User.objects.create_user("ada"))
    return client


def opened(slug: str, name: str = "n1-01", npu: str = "", values: dict[str, Any] | None = None, **fields: Any) -> Alert:
    now = timezone.now()
    there = machine(name, **fields)
    alert = open_alert(Rule.objects.get(slug=slug).pk, there.pk, npu, now - timedelta(minutes=8), now, values or {})
    assert alert is not None
    return alert


def text(answer: Any) -> str:
    source = re.sub(r"<(script|svg)\b.*?</\1>", " ", answer.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", source)).split())


def test_a_rack_that_overheats_is_one_line_with_one_plan_for_all_of_it(browser):
    for number in range(12):
        opened("latency-varies-when-hot", f"n1-{number:02}", site="lab")
    page = browser.get("/alerts/")
    assert page.content.decode().count("alert-line ") == 1
    assert "12 machines : n1-00" in text(page).replace("machines:", "machines :") and "and 4 more" in text(page)
    assert "lowers its clock to stay cool" in text(page) and "Raise the fans through the BMC" in text(page)
    plan = re.search(r'href="(/jobs/new/\?kind=set-fan[^"]+)"', page.content.decode())
    assert plan is not None and unescape(plan[1]).count("machine=") == 12 and "rpm=4500" in plan[1]


def test_the_page_of_an_alert_says_what_where_since_when_why_and_what_to_do(browser):
    values = {"health": 2.0, "fault_codes": ["0x80E18402", "0xDEADBEEF"]}
    alert = opened("npu-health", npu="3-0", values=values, site="lab")
    said = text(browser.get(f"/alerts/{alert.pk}/"))
    for words in (
        "NPU is not healthy", "n1-01 NPU 3-0 · lab", "NPU health Alarm", "8 min ago", "The NPU itself reports a fault",
        "used up the rows", "card replaced", "faultCode.json", "0xDEADBEEF: unknown to this console",
        "No job mends this",
    ):  # fmt: skip
        assert words in said, words


def test_an_alert_is_acknowledged_with_a_note_and_the_rail_counts_those_that_wait(browser):
    alert, other = opened("disk-nearly-full"), opened("clock-skew", "n1-02")
    assert "Alerts 2 2 waiting" in text(browser.get("/alerts/"))
    browser.post(f"/alerts/{alert.pk}/", {"note": "clearing images"})
    page = text(browser.get(f"/alerts/{alert.pk}/"))
    assert "ada" in page and "clearing images" in page and "Alerts 1 1 waiting" in page
    browser.post("/alerts/", {"rule": "clock-skew"})
    other.refresh_from_db()
    assert other.acknowledged_by == "ada"


def test_a_silence_made_at_an_alert_takes_it_off_the_open_ones_and_can_be_ended(browser):
    alert = opened("disk-nearly-full")
    form = {"rule": "disk-nearly-full", "machine": "n1-01", "reason": "images are moved", "hours": "4"}
    answer = browser.post("/alerts/silences/", {**form, "back": f"/alerts/{alert.pk}/"})
    assert answer["Location"] == f"/alerts/{alert.pk}/"
    page = browser.get("/alerts/")
    assert "alert-line " not in page.content.decode() and "recorded, and not told of" in text(page)
    assert "Disk nearly full, machine n1-01 images are moved" in text(browser.get("/alerts/silences/"))
    browser.post("/alerts/silences/", {"do": "end", "silence": Silence.objects.get().pk})
    assert "alert-line " in browser.get("/alerts/").content.decode()


def test_a_silence_without_reason_scope_or_a_known_machine_names_the_field(browser):
    answer = browser.post("/alerts/silences/", {"hours": "4"})
    assert answer.status_code == 422
    assert 'id="q-reason-e"' in answer.content.decode() and 'id="q-rule-e"' in answer.content.decode()
    answer = browser.post("/alerts/silences/", {"machine": "nobody", "reason": "x", "hours": "4", "back": "//evil"})
    assert "There is no machine nobody." in text(answer)


RULE = {
    "title": "Too hot", "severity": "critical", "scope": "npu", "for_s": "120", "clear_for_s": "60", "enabled": "on",
    "metric-0": "temp_c", "stat-0": "max", "op-0": ">", "value-0": "82.5", "clear-0": "75",
    "metric-3": "processes", "stat-3": "max", "op-3": ">", "value-3": "0", "clear-3": "",
    "cause": "The room is warm.", "advice": "", "remedy_kind": "verify", "remedy_params": '{"cann": "{npu}"}',
}  # fmt: skip


def test_a_rule_is_made_on_its_page_tried_out_changed_and_deleted(browser):
    tried = browser.post("/alerts/rules/new/", {**RULE, "do": "try"})
    assert "Nothing was read in the last 24 hours" in text(tried) and not Rule.objects.filter(slug="too-hot").exists()
    assert 'value="82.5"' in tried.content.decode()
    assert browser.post("/alerts/rules/new/", {**RULE, "do": "save"})["Location"] == "/alerts/rules/too-hot/"
    rule = Rule.objects.get(slug="too-hot")
    assert rule.conditions == [
        {"metric": "temp_c", "stat": "max", "op": ">", "value": 82.5, "clear": 75},
        {"metric": "processes", "stat": "max", "op": ">", "value": 0, "clear": 0},
    ]
    assert (rule.remedy, rule.for_s) == ({"kind": "verify", "params": {"cann": "{npu}"}}, 120)
    browser.post("/alerts/rules/too-hot/", {**RULE, "for_s": "0", "do": "save"})
    rule.refresh_from_db()
    assert (rule.for_s, rule.version) == (0, 2)
    browser.post("/alerts/rules/too-hot/", {"do": "delete"})
    assert not Rule.objects.filter(slug="too-hot").exists()


def test_a_rule_that_makes_no_sense_is_not_saved_and_each_error_stands_at_its_field(browser):
    wrong = {**RULE, "title": " ", "value-0": "many", "for_s": "soon", "remedy_params": "[1]", "do": "save"}
    answer = browser.post("/alerts/rules/new/", wrong)
    source = answer.content.decode()
    assert answer.status_code == 422 and not Rule.objects.filter(slug="too-hot").exists()
    for place in ("r-title-e", "c-0-e", "r-for-e", "r-remedy-e"):
        assert f'id="{place}"' in source, place
    assert 'value="many"' in source


def test_a_built_in_rule_is_switched_off_and_reset_on_its_pages(browser):
    browser.post("/alerts/rules/", {"rule": "clock-skew", "do": "disable"})
    assert not Rule.objects.get(slug="clock-skew").enabled
    services.change_rule(Rule.objects.get(slug="clock-skew"), actor="ada", for_s=7)
    assert "built in, changed by ada" in text(browser.get("/alerts/rules/"))
    browser.post("/alerts/rules/clock-skew/", {"do": "reset"})
    rule = Rule.objects.get(slug="clock-skew")
    assert (rule.enabled, rule.for_s, rule.edited) == (True, 180, False)


def test_a_built_in_rule_is_shown_in_the_readers_language_and_saving_it_keeps_that_for_all(browser):
    browser.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
    built_in = Rule.objects.get(slug="ecc-growth")
    with override("zh-hans"):
        words = {name: gettext(getattr(built_in, name)) for name in ("title", "cause", "advice")}
    source = unescape(browser.get("/alerts/rules/ecc-growth/").content.decode())
    assert all(said in source and said != getattr(built_in, name) for name, said in words.items())
    form = {
        **words, "advice": "Call Li.", "severity": "warning", "scope": "npu", "for_s": "3600", "clear_for_s": "0",
        "metric-0": "ecc_errors", "stat-0": "mean", "op-0": "rises", "value-0": "3", "enabled": "on",
    }  # fmt: skip
    # Whoever switches the language while the form is open gets the same rule.
    browser.cookies[settings.LANGUAGE_COOKIE_NAME] = "en"
    assert browser.post("/alerts/rules/ecc-growth/", form).status_code == 302
    changed = Rule.objects.get(slug="ecc-growth")
    assert (changed.title, changed.cause, changed.advice) == (built_in.title, built_in.cause, "Call Li.")
    assert "rises by 3 or more within 1 hour" in text(browser.get("/alerts/rules/"))


def test_the_history_is_filtered_and_written_as_a_table(browser):
    opened("disk-nearly-full", site="lab"), opened("clock-skew", "n2-01", site="plant")
    assert "n2-01" not in text(browser.get("/alerts/history/?site=lab")).split("Acknowledged")[-1]
    assert "No alert passes these filters" in text(browser.get("/alerts/history/?state=ended"))
    table = browser.get("/alerts/history/?rule=clock-skew&form=csv").content.decode().splitlines()
    assert len(table) == 2 and "n2-01" in table[1]


def test_the_machines_page_and_overview_show_what_is_open_and_nothing_twice(browser):
    opened("clock-skew", "n1-01", values={"clock_off_s": 9.0})
    opened("machine-silent", "n1-02", state="silent", trouble={"code": "ssh-unreachable", "cause": "c", "mend": "m"})
    assert "Clock differs" in text(browser.get("/machines/n1-01/"))
    overview = text(browser.get("/"))
    assert "Clock differs from the console’s" in overview and "Nothing answers at the address" in overview
    assert "Machine silent" not in overview

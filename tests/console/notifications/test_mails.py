from __future__ import annotations

import email
import email.policy
from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone, translation

from console.notifications import services
from console.notifications.delivering import deliver_due
from console.notifications.models import EVENTS, Delivery
from hardware.telemetry.alerts import builtin
from hardware.telemetry.alerts.models import Alert, Rule
from hardware.telemetry.alerts.news import tell
from tests.console.notifications.conftest import machine, open_alert


def due() -> None:
    Delivery.objects.filter(state="pending").update(next_at=F("next_at") - timedelta(days=1))


def mail_to(address: str):
    return services.create(actor="ada", name="night shift", kind="mail", address=address, events=list(EVENTS))


def test_what_happens_together_is_one_mail_over_the_relay(relay, hot):
    mail_to("ops@bank.example, dc@bank.example")
    open_alert(hot)
    open_alert(machine("n1-02", simulated=True), "critical")
    # Others may follow within seconds: it waits for them.
    assert deliver_due() == 0
    due()
    assert deliver_due() == 2
    [envelope] = relay.mails
    assert envelope.rcpt_tos == ["ops@bank.example", "dc@bank.example"]
    mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
    assert mail["subject"] == "2 alerts: n1-01 NPU 0-0: An NPU is hot and more"
    text = mail.get_content()
    assert "WARNING  n1-01 NPU 0-0: An NPU is hot" in text and "CRITICAL  n1-02 NPU 0-0: An NPU is hot" in text
    assert "A fan stands still." in text and text.count("The machine is simulated.") == 1 and "/alerts/" in text


def test_a_relay_that_refuses_or_is_gone_gets_it_again_as_the_same_mail(relay, hot, settings):
    mail_to("ops@bank.example")
    open_alert(hot)
    relay.refuses = True
    due()
    assert deliver_due() == 0
    [waiting] = Delivery.objects.all()
    assert "The relay answered 452" in waiting.error and waiting.attempts == 1
    settings.EMAIL_PORT = 9
    due()
    assert deliver_due() == 0
    waiting.refresh_from_db()
    assert "The relay 127.0.0.1 can't be reached" in waiting.error
    settings.EMAIL_PORT = relay.port
    relay.refuses = False
    due()
    assert deliver_due() == 1
    # The relay had it, and the console did not hear so: the mailbox sees the same mail. With other news it is another.
    Delivery.objects.update(state="pending")
    due()
    assert deliver_due() == 1
    Delivery.objects.update(state="pending")
    open_alert(machine("n1-02"))
    due()
    assert deliver_due() == 2
    first, again, more = [email.message_from_bytes(envelope.content)["message-id"] for envelope in relay.mails]
    assert first == again != more


def test_what_is_known_of_a_fault_and_by_how_much_a_counter_rose_is_in_the_mail_and_for_the_webhook(relay, hot):
    builtin.ensure()
    mail_to("ops@bank.example")
    found = {
        "ecc-growth": {"ecc_errors": 65.0},
        "npu-health": {"health": 2.0, "fault_codes": ["0x80E18402"]},
        "versions-differ": {
            "version_conflicts": 1,
            "conflicts": [{"part": "npu-smi", "has": "23", "others": "24", "count": 3, "of": 4, "among": "site:x"}],
        },
    }
    for slug, values in found.items():
        with transaction.atomic():
            rule = Rule.objects.get(slug=slug)
            tell("opened", Alert.objects.create(rule=rule, machine=hot, since=timezone.now(), values=values))
    told = {one.body["alert"]["rule"]: one.body["alert"] for one in Delivery.objects.all()}
    assert told["ecc-growth"]["measured"] == "ECC errors +65" and told["npu-health"]["measured"] == "NPU health Alarm"
    assert told["versions-differ"]["measured"] == "" and "3 of 4 like machines" in told["versions-differ"]["known"]
    assert told["npu-health"]["known"].startswith("Fault code 0x80E18402: ")
    due()
    assert deliver_due() == 3
    text = email.message_from_bytes(relay.mails[0].content, policy=email.policy.default).get_content()
    assert "ECC errors +65" in text and "Fault code 0x80E18402: " in text and "3 of 4 like machines" in text


def test_each_destination_gets_its_mails_in_its_language_and_the_others_in_the_consoles(relay, hot, settings):
    builtin.ensure()
    here = services.create(
        actor="ada", name="here", kind="mail", address="li@bank.example", events=list(EVENTS), language="zh-hans"
    )
    mail_to("ops@bank.example")
    rule = Rule.objects.get(slug="latency-varies-when-hot")
    with transaction.atomic():
        values = {"temp_c": 91, "latency_spread_percent": 30}
        tell("opened", Alert.objects.create(rule=rule, machine=hot, since=timezone.now(), values=values))
    services.try_out(here, actor="ada")
    due()
    assert deliver_due() == 3
    mails = {
        envelope.rcpt_tos[0]: email.message_from_bytes(envelope.content, policy=email.policy.default)
        for envelope in relay.mails
    }
    chinese, english = mails["li@bank.example"].get_content(), mails["ops@bank.example"].get_content()
    assert "Latency varies while the NPU is hot" in english and "NPU temperature 91 °C" in english
    with translation.override("zh-hans"):
        for words in (rule.title, rule.cause, "Likely cause", "NPU temperature", "Measured"):
            assert translation.gettext(words) != words and translation.gettext(words) in chinese
    assert rule.title not in chinese and "ada" in chinese
    settings.LANGUAGE_CODE = "zh-hans"
    services.try_out(
        services.create(actor="ada", name="all", kind="mail", address="a@b.example", events=[]), actor="li"
    )
    due()
    deliver_due()
    last = email.message_from_bytes(relay.mails[-1].content, policy=email.policy.default)
    assert "li" in last["subject"] and "A test" not in last["subject"]

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import timedelta

import pytest
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from console.audit.models import AuditEvent
from console.notifications import services
from console.notifications.delivering import PAUSES, deliver_due
from console.notifications.models import EVENTS, Delivery, Destination
from hardware.inventory.models import Machine
from hardware.telemetry.alerts.models import Silence
from hardware.telemetry.alerts.news import tell
from tests.console.notifications.conftest import machine, open_alert
from tests.console.notifications.receivers import Received, Web


def webhook(web: Web, **fields) -> Destination:
    given = {"name": "pager", "kind": "webhook", "address": web.url, "events": list(EVENTS), **fields}
    return services.create(actor="ada", **given)


def pass_time() -> None:
    """Whatever waits for its next attempt is due."""
    Delivery.objects.filter(state="pending").update(next_at=F("next_at") - timedelta(days=1))


def is_signed(got: Received, secret: str) -> bool:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{got.headers['webhook-id']}.{got.headers['webhook-timestamp']}.".encode() + got.raw
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in got.headers["webhook-signature"].split(" ")


def test_an_alert_reaches_a_webhook_signed_and_says_what_to_know(web, hot):
    pager = webhook(web)
    alert = open_alert(hot)
    assert deliver_due() == 1 and deliver_due() == 0
    [got] = web.received
    assert is_signed(got, pager.secret) and not is_signed(got, "whsec_" + base64.b64encode(b"x" * 24).decode())
    assert got.body["type"] == "alert.opened" and got.body["title"] == "n1-01 NPU 0-0: An NPU is hot"
    said = got.body["alert"]
    assert (said["id"], said["machine"], said["site"], said["values"]) == (alert.pk, "n1-01", "north", {"temp_c": 97})
    assert said["cause"] == "A fan stands still." and said["url"].endswith(f"/alerts/{alert.pk}/")


def test_a_rotated_secret_signs_beside_the_one_before_it(web, hot):
    pager = webhook(web)
    before = pager.secret
    after = services.rotate(pager, actor="ada")
    open_alert(hot)
    deliver_due()
    assert is_signed(web.received[0], before) and is_signed(web.received[0], after)


def test_what_is_refused_is_tried_again_later_and_arrives_once_under_one_id(web, hot):
    webhook(web)
    web.answers = [503, 302]
    open_alert(hot)
    assert deliver_due() == 0 and deliver_due() == 0 and len(web.received) == 1
    [waiting] = Delivery.objects.all()
    assert (waiting.state, waiting.attempts, waiting.error) == ("pending", 1, "It answered 503.")
    assert waiting.next_at > timezone.now() + timedelta(seconds=PAUSES[0] - 2)
    pass_time()
    # A redirect is no "taken": it could lead anywhere.
    assert deliver_due() == 0
    pass_time()
    assert deliver_due() == 1
    assert len({got.headers["webhook-id"] for got in web.received}) == 1 and len(web.taken) == 1
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempts, waiting.error) == ("delivered", 3, "")


def test_what_nobody_takes_becomes_a_dead_letter_and_can_be_sent_again_or_dropped(web, hot):
    pager = webhook(web)
    web.answers = [500] * (len(PAUSES) + 1)
    open_alert(hot)
    for _ in range(len(PAUSES) + 1):
        pass_time()
        deliver_due()
    [dead] = Delivery.objects.filter(state="dead")
    assert dead.attempts == len(PAUSES) + 1 == len(web.received)
    [line] = AuditEvent.objects.filter(action="notification.dead")
    assert line.detail["destination"] == pager.name and line.detail["error"] == "It answered 500."
    pass_time()
    assert deliver_due() == 0
    assert services.send_again(dead, actor="ada") and not services.send_again(dead, actor="ada")
    assert deliver_due() == 1 and not services.drop(dead, actor="ada") and len(web.taken) == 1


def test_one_that_does_not_answer_holds_up_no_other_and_costs_one_attempt_however_much_waits(web, hot):
    webhook(web)
    webhook(web, name="gone", address="http://127.0.0.1:9/")
    for _ in range(3):
        open_alert(hot).delete()
    assert deliver_due() == 3
    assert sorted(Delivery.objects.filter(state="pending").values_list("attempts", flat=True)) == [0, 0, 1]
    assert all("can't be reached" in one.error for one in Delivery.objects.filter(state="pending"))


def test_news_that_are_taken_back_with_their_transaction_are_not_told(web, hot):
    webhook(web)
    with pytest.raises(RuntimeError), transaction.atomic():
        open_alert(hot)
        raise RuntimeError
    assert deliver_due() == 0 and not Delivery.objects.exists()


def test_only_what_a_destination_asked_for_is_told(web, hot: Machine):
    webhook(web, name="other site", site="south")
    webhook(web, name="other label", label="rack-1")
    webhook(web, name="off", enabled=False)
    webhook(web, name="grave", critical_only=True, events=["alert.ended"])
    fits = webhook(web, name="fits", site="north", label="rack-7")
    mild, grave = open_alert(hot), open_alert(hot, "critical")
    with transaction.atomic():
        tell("ended", mild)
        tell("ended", grave)
    told = Delivery.objects.order_by("id").values_list("destination__name", "event", "about")
    assert [row for row in told if row[0] == "grave"] == [("grave", "alert.ended", f"alert:{grave.pk}")]
    assert {row[0] for row in told} == {"grave", "fits"} and fits.deliveries.count() == 4


def test_what_is_silenced_is_not_told(web, hot: Machine):
    webhook(web)
    hour = timezone.now() + timedelta(hours=1)
    Silence.objects.create(machine=hot, reason="its fan is being changed", ends_at=hour, created_by="ada")
    open_alert(hot)
    assert not Delivery.objects.exists()
    open_alert(machine("n1-02"))
    assert Delivery.objects.count() == 1


def test_two_workers_that_send_at_once_send_nothing_twice(web, hot):
    webhook(web)
    for _ in range(5):
        open_alert(hot).delete()
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    def work() -> int:
        try:
            return deliver_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as workers:
        assert sum(workers.map(lambda _: work(), range(4))) == 5
    assert len({got.headers["webhook-id"] for got in web.received}) == len(web.received) == 5


def test_the_token_in_an_address_is_in_no_error_though_the_other_side_repeats_the_address(web, hot):
    web.answers, web.echoes = [404] * (len(PAUSES) + 1), True
    webhook(web, address=web.url.replace("/hook", "/services/T0123456/B0123456"))
    open_alert(hot)
    while Delivery.objects.filter(state="pending").exists():
        deliver_due()
        pass_time()
    [dead] = Delivery.objects.all()
    assert dead.error.startswith("It answered 404: The requested URL *") and "was not found here" in dead.error
    said = f"{dead.error} {list(AuditEvent.objects.values_list('detail', flat=True))}"
    assert not [token for token in ("hidden", "T0123456", "B0123456") if token in said], said

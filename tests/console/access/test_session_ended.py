from __future__ import annotations

import html
import re
from io import BytesIO

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from console.access import kept
from jobs.admission.models import Limit

pytestmark = pytest.mark.django_db

PASSWORD = "a-long-test-password"
TYPED = {"do": "add", "kind": "", "site": "", "jobs": "3", "machines": ""}


@pytest.fixture(autouse=True)
def ada() -> User:
    cache.clear()
    return User.objects.create_user("ada", password=PASSWORD)


def hidden(page: str, form: str) -> dict[str, str]:
    """The hidden fields of the form that is sent to an address."""
    part = re.search(rf'<form[^>]+action="{re.escape(form)}".*?</form>', page, flags=re.S)
    assert part is not None, page
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', part[0])
    return {name: html.unescape(value) for name, value in found}


def test_a_form_that_is_sent_after_the_session_has_ended_is_kept_until_it_is_sent_again():
    browser = Client(enforce_csrf_checks=True)
    browser.get("/login/")
    token = browser.cookies["csrftoken"].value
    asked = browser.post("/limits/", {**TYPED, "csrfmiddlewaretoken": token})
    assert asked.status_code == 403 and "Your session has ended; nothing was done." in asked.content.decode()
    login = hidden(asked.content.decode(), "/login/")
    wrong = browser.post("/login/", {**login, "username": "ada", "password": "wrong"})
    assert wrong.status_code == 422
    login = hidden(wrong.content.decode(), "/login/")
    page = browser.post("/login/", {**login, "username": "ada", "password": PASSWORD}).content.decode()
    assert "Nothing was done yet" in page and not Limit.objects.exists()
    again = hidden(page, "/limits/")
    assert {name: again[name] for name in TYPED} == TYPED
    assert browser.post("/limits/", again).status_code == 302
    assert Limit.objects.get().jobs == 3


def test_nor_is_it_lost_when_somebody_signed_in_in_another_tab_meanwhile(ada: User):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(ada)
    old = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get("/limits/").content.decode())
    assert old is not None
    browser.logout()
    browser.cookies.pop("csrftoken", None)
    browser.get("/login/")
    browser.force_login(ada)
    late = {**TYPED, "csrfmiddlewaretoken": old[1]}
    page = browser.post("/limits/", late, headers={"Origin": "http://testserver"})
    assert page.status_code == 403 and "Nothing was done yet" in page.content.decode() and not Limit.objects.exists()
    again = hidden(page.content.decode(), "/limits/")
    assert {name: again[name] for name in TYPED} == TYPED
    assert browser.post("/limits/", again, headers={"Origin": "http://testserver"}).status_code == 302
    # What another site sends in this browser is never offered, nor what does not say where it is from.
    for headers in ({"Origin": "http://elsewhere.example"}, {"Origin": "null"}, {}):
        strange = browser.post("/limits/", late, headers=headers)
        assert strange.status_code == 403 and "The form was too old" in strange.content.decode()


def test_secrets_and_files_are_not_kept_but_named(client):
    typed = {"name": "n1", "password": "hunter2hunter2", "list": BytesIO(b"name,host\n")}
    page = client.post("/machines/import/", typed).content.decode()
    sent = kept.read(hidden(page, "/login/")["kept"])
    assert sent is not None and sent.fields == [("name", "n1")] and sent.left_out == ["list", "password"]
    assert "hunter2" not in page


def test_what_was_changed_on_its_way_is_not_offered(client):
    page = client.post("/limits/", TYPED).content.decode()
    login = hidden(page, "/login/")
    answer = client.post(
        "/login/", {**login, "kept": login["kept"][:-1] + "x", "username": "ada", "password": PASSWORD}
    )
    assert answer.status_code == 302


def test_pages_and_what_scripts_send_lead_to_signing_in_as_ever(client):
    for answer in (client.get("/limits/"), client.post("/limits/", TYPED, headers={"HX-Request": "true"})):
        assert (answer.status_code, answer.url) == (302, "/login/?next=/limits/")
    assert client.post("/logout/").url.startswith("/login/")

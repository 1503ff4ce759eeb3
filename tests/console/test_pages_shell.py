from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import resolve

from console.navigation import shell

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(client) -> User:
    user = User.objects.create_user("ada", password="a-long-test-password")
    client.force_login(user)
    return user


@pytest.mark.parametrize(
    ("path", "section"),
    [
        ("/jobs/1/report/", "Jobs"),
        ("/jobs/1/cancel/", "Jobs"),
        ("/releases/1/", "Depot"),
        ("/depot/1/release/", "Depot"),
        ("/machines/n1/edit/", "Machines"),
    ],
)
def test_the_rail_shows_where_a_page_belongs(rf, person, path, section):
    request = rf.get(path)
    request.user, request.resolver_match = person, resolve(path)
    assert [str(one.words) for one in shell(request)["sections"] if one.current] == [section]


def test_every_answer_carries_the_strict_policy(client, person):
    for path in ("/", "/login/", "/api/v1/machines/", "/no-such-page/"):
        policy = client.get(path)["Content-Security-Policy"]
        assert "script-src 'self';" in policy and "style-src 'self';" in policy and "unsafe" not in policy
        assert "connect-src 'self' ws://testserver;" in policy and "frame-ancestors 'none'" in policy


def test_language_and_theme_come_from_cookies_that_the_preferences_set(client, person):
    assert b'<html lang="en" data-bs-theme="light" data-theme="auto">' in client.get("/").content
    back = client.post("/preferences/", {"language": "zh-hans", "theme": "dark", "next": "/machines/"})
    assert back.url == "/machines/"
    page = client.get("/").content.decode()
    assert '<html lang="zh-Hans" data-bs-theme="dark" data-theme="dark">' in page


def test_preferences_take_no_nonsense_and_lead_nowhere_else(client):
    answer = client.post("/preferences/", {"language": "xx", "theme": "pink", "next": "//elsewhere.example/"})
    assert answer.url == "/" and not answer.cookies


def test_times_are_in_the_zone_that_the_browser_names(client, person):
    client.cookies["zone"] = "Asia/Shanghai"
    assert "Times in UTC+8" in client.get("/").content.decode()
    client.cookies["zone"] = "../../etc/passwd"
    assert "Times in UTC<" in client.get("/").content.decode()


def test_a_page_that_is_not_there_says_so_and_leads_on(client, person):
    answer = client.get("/machines/no-such-machine/")
    assert answer.status_code == 404 and "There is no such page" in answer.content.decode()


def test_a_form_that_is_too_old_says_that_nothing_was_done(person):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(person)
    answer = strict.post("/logout/")
    assert answer.status_code == 403 and "nothing was done" in answer.content.decode()


def test_a_fault_of_the_console_shows_no_stack_trace(client, person, monkeypatch):
    monkeypatch.setattr("console.pages.latest", lambda names: 1 / 0)
    client.raise_request_exception = False
    answer = client.get("/")
    assert answer.status_code == 500 and "The console is at fault" in answer.content.decode()
    assert "ZeroDivision" not in answer.content.decode()

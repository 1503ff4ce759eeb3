from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache

from console.audit.models import AuditEvent

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ada() -> User:
    cache.clear()
    return User.objects.create_user("ada", password="a-long-test-password")


def sign_in(client, password: str):
    return client.post("/login/", {"username": "ada", "password": password})


def test_no_page_is_shown_before_signing_in(client):
    for path in ("/", "/machines/"):
        answer = client.get(path)
        assert (answer.status_code, answer.url) == (302, f"/login/?next={path}")


def test_a_wrong_password_is_one_clear_sentence_and_is_in_the_trail(client):
    answer = sign_in(client, "wrong")
    assert answer.status_code == 422 and answer.content.count(b"User name or password is wrong") == 1
    assert [(e.action, e.target) for e in AuditEvent.objects.all()] == [("session.login-failed", "user:ada")]
    assert "wrong" not in str(AuditEvent.objects.values())


def test_signing_in_and_out_is_in_the_trail(client):
    assert sign_in(client, "a-long-test-password").url == "/"
    assert client.post("/logout/").url == "/login/"
    assert [e.action for e in AuditEvent.objects.order_by("id")] == ["session.login", "session.logout"]


def test_after_five_wrong_passwords_even_the_right_one_waits(client):
    for _ in range(5):
        assert sign_in(client, "wrong").status_code == 422
    answer = sign_in(client, "a-long-test-password")
    assert answer.status_code == 429 and b"Try again in 5 minutes" in answer.content


def test_signing_in_goes_back_only_to_a_page_of_this_site(client):
    answer = client.post(
        "/login/", {"username": "ada", "password": "a-long-test-password", "next": "https://elsewhere.example/"}
    )
    assert answer.url == "/"


def test_the_token_endpoint_is_no_way_around_the_pause(client):
    for _ in range(5):
        assert client.post("/api/v1/token/", {"username": "ada", "password": "wrong"}).status_code == 400
    right = {"username": "ada", "password": "a-long-test-password"}
    assert client.post("/api/v1/token/", right).status_code == 400
    assert b"Try again in" in client.post("/login/", right).content

"""What a machine can be called and where it can be, by REST and on the form."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from hardware.inventory.models import Credential, Machine


@pytest.fixture
def site(client, transactional_db):
    Credential.objects.create(name="lab", password="x")
    client.force_login(User.objects.create_user("ada"))
    return client


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("name", "scan", "the address of a page"),
        ("host", "10.0.0.1:22", "is no address"),
        ("host", "a;b", "is no address"),
        ("host", "10.0.0.300", "is no address"),
        ("port", 65536, "65535"),
        ("port", 0, "1"),
        ("labels", ["two words"], "match"),
        ("labels", ["a;b"], "match"),
    ],
)
def test_over_rest_each_field_that_is_not_right_says_why(site, field, value, said):
    body = {"name": "n1", "host": "127.0.0.1", "port": 1, "credential": "lab", field: value}
    answer = site.post("/api/v1/machines/", body, "application/json")
    assert answer.status_code == 400 and said in str(answer.json()["errors"][field])
    assert not Machine.objects.exists()


@pytest.mark.parametrize(("host", "status"), [("[::1]", 422), ("10.0.0.1:22", 422), ("a;b", 422)])
def test_on_the_form_an_address_is_checked_before_it_is_tried(site, host, status):
    form = {"name": "n1", "host": host, "port": 1, "credential": "old:lab", "bmc-host": host, "bmc-username": "a"}
    answer = site.post("/machines/add/", form | {"bmc-password": "b"})
    assert answer.status_code == status
    page = answer.content.decode()
    assert page.count("the port has a field of its own") == (0 if host == "[::1]" else 2)

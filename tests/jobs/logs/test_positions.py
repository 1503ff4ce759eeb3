"""Positions at which no piece begins: in a character, at the end, beyond it, and beyond what a log can be."""

from __future__ import annotations

import base64

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.jobs.logs.conftest import Written


@pytest.fixture
def api(written: Written) -> APIClient:
    client = APIClient()
    client.force_authenticate(User.objects.create_user("ada", password="a-long-test-password"))
    return client


@pytest.mark.parametrize("after", [10**18, 2**63, 10**30])
def test_a_position_that_no_log_reaches_is_refused_by_its_name(written: Written, api, after: int):
    written.write(0, b"one\n")
    for path in ("log/?", "log-search/?q=one&"):
        answer = api.get(f"/api/v1/jobs/{written.job.pk}/{path}after={after}")
        assert answer.status_code == 400 and "after" in answer.json()["errors"], (path, answer.content)


def test_a_position_in_a_character_gives_the_bytes_from_there(written: Written, api):
    written.write(0, "热热\n".encode())
    whole = bytes(written.whole)
    for after in range(len(whole) + 1):
        said = api.get(f"/api/v1/jobs/{written.job.pk}/log/?after={after}").json()
        frames = [base64.b64decode(f["data"]) if "data" in f else f["text"].encode() for f in said["frames"]]
        assert b"".join(frames) == whole[after:] and said["next"] == len(whole)


def test_beyond_the_end_there_is_nothing_and_what_comes_later_is_there_from_its_own_place(written: Written, api):
    written.write(0, b"one\n")
    address = f"/api/v1/jobs/{written.job.pk}/log/?after=999999999999"
    said = api.get(address).json()
    assert (said["frames"], said["ended"]) == ([], False)
    written.end()
    assert api.get(address).json()["frames"] == []

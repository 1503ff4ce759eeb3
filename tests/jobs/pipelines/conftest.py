from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from tests.jobs.pipelines import words


@pytest.fixture
def client(machine) -> APIClient:
    words.register()
    made = APIClient()
    made.force_authenticate(User.objects.create_user("robot"))
    return made

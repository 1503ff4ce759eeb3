from __future__ import annotations

import pytest

from hardware.inventory.models import Credential, Machine


@pytest.fixture
def machine(transactional_db: None) -> Machine:
    credential = Credential.objects.create(name="lab", password="secret")
    return Machine.objects.create(name="n1", host="127.0.0.1", port=1, credential=credential, simulated=True)

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path

import pytest

from jobs.depot.models import Artifact
from jobs.depot.services import ingest, verify
from jobs.failures import JobFailed


@pytest.fixture(autouse=True)
def depot(settings, tmp_path: Path, transactional_db):
    settings.DEPOT_DIR = tmp_path / "depot"


def put(data: bytes, **more):
    return ingest(BytesIO(data), name="driver.run", type="driver", actor="ada", **more)


def test_a_blob_is_named_by_its_hash_and_stored_once():
    one, again = put(b"bytes"), put(b"bytes")
    assert one == again and one.sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert one.path.read_bytes() == b"bytes" and one.path.stat().st_mode & 0o222 == 0
    verify(one)


def test_a_corrupt_package_is_refused_and_nothing_of_it_stays(settings):
    with pytest.raises(JobFailed, match="not the file that was meant") as refused:
        put(b"bytes", expected_sha256="0" * 64)
    assert refused.value.code == "artifact-corrupt"
    assert not Artifact.objects.exists()
    assert not [p for p in settings.DEPOT_DIR.rglob("*") if p.is_file()]


def test_an_empty_file_is_refused():
    with pytest.raises(JobFailed, match="empty"):
        put(b"")


def test_a_blob_that_rotted_or_went_is_found():
    artifact = put(b"bytes")
    artifact.path.chmod(0o644)
    artifact.path.write_bytes(b"bytez")
    with pytest.raises(JobFailed, match="has changed"):
        verify(artifact)
    artifact.path.unlink()
    with pytest.raises(JobFailed, match="can't be read"):
        verify(artifact)
    assert put(b"bytes") == artifact and artifact.path.exists()

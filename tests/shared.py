"""Where the shared samples lie, when they lie beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("CONSOLE_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def samples(pattern: str) -> list[Path]:
    """Sample files by glob; an empty list where there are none."""
    return sorted(FOLDER.glob(pattern))


needs_shared = pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared samples are not beside this checkout")

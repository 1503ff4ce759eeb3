"""The kinds that exist: every folder of ``jobs.kinds`` that has a ``kind.py``. Nothing is listed by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache

from jobs import kinds
from jobs.kind import Kind


@lru_cache(maxsize=1)
def all_kinds() -> dict[str, Kind]:
    """Slug -> kind, in order of title."""
    found: dict[str, Kind] = {}
    for module in pkgutil.iter_modules(kinds.__path__):
        if not module.ispkg:
            continue
        body = importlib.import_module(f"jobs.kinds.{module.name}.kind")
        for member in vars(body).values():
            if inspect.isclass(member) and issubclass(member, Kind) and member.__module__ == body.__name__:
                found[member.slug] = member()
    return dict(sorted(found.items(), key=lambda item: str(item[1].title)))


def get(slug: str) -> Kind:
    """The kind; raises ``KeyError`` when there is none of that name."""
    return all_kinds()[slug]

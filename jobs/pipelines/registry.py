"""The pipelines that exist: every module of ``jobs.pipelines.catalog``. Nothing is listed by hand."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import lru_cache

from jobs.failures import PlanRefused
from jobs.pipelines import catalog
from jobs.pipelines.definition import Definition


@lru_cache(maxsize=1)
def all_pipelines() -> dict[str, Definition]:
    """Slug -> definition, in order of slug."""
    found: dict[str, Definition] = {}
    for module in pkgutil.iter_modules(catalog.__path__):
        body = importlib.import_module(f"jobs.pipelines.catalog.{module.name}")
        for member in vars(body).values():
            if inspect.isclass(member) and issubclass(member, Definition) and member.__module__ == body.__name__:
                found[member.slug] = member()
    return dict(sorted(found.items()))


def get(slug: str) -> Definition:
    """The definition. Raises ``PlanRefused`` when there is none of that name."""
    try:
        return all_pipelines()[slug]
    except KeyError:
        raise PlanRefused(
            "pipeline-unknown", f"There is no pipeline called {slug}.", "Choose a pipeline.", "pipeline"
        ) from None

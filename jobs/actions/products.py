"""What steps make, into the depot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.depot.models import Artifact
from jobs.depot.services import ingest
from jobs.failures import JobFailed
from jobs.plan import Product


def keep(job_id: int, folder: Path, products: Sequence[Product]) -> list[dict[str, Any]]:
    """Ingest each product's file of the folder, with the job as its origin; what a step's result says of each.

    The same bytes again are the artifact that is there, so a repeated step keeps nothing twice. Raises ``JobFailed``
    when a file is missing.
    """
    kept: dict[str, Artifact] = {}
    for product in products:
        file = folder / product.file
        if not file.is_file():
            raise JobFailed(
                "product-missing", f"The step ended well but made no {product.file}.", "Read the step's log."
            )
        meta = {**product.meta, **{key: kept[name].sha256 for key, name in product.links.items()}}
        if "provenance" in meta:
            meta["provenance"] = {**meta["provenance"], "job": job_id}
        with file.open("rb") as stream:
            kept[product.file] = ingest(
                stream,
                name=product.name,
                type=product.type,
                version=product.version,
                meta=meta,
                actor=f"job:{job_id}",
                origin=f"job {job_id}",
            )
    return [
        {"id": made.pk, "type": made.type, "name": made.name, "sha256": made.sha256, "size": made.size}
        for made in kept.values()
    ]

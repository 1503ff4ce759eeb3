"""Adding, replacing and retiring the site's own entries, each in the audit trail; and having them asked.

A process judges by the table that it holds (``preflight.compatibility.in_force``). ``refresh`` brings that up to what
is stored; whoever judges for a person or a job calls it first, so that all processes go by the same entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from hardware.events import audit
from hardware.inventory.compatibility.models import Entry
from hardware.inventory.preflight.compatibility import Row, RowError, Table, put_before, read_row
from hardware.inventory.preflight.versions import key

# The name of their table.
ENTRIES = "entries"
MOST = 2000
MOST_VERSIONS = 50
LONGEST_VERSION = 60
LONGEST_SOURCE = 500
FIELDS = ("parts", "fits", "only", "source")


class EntryRefused(Exception):
    """``errors``: field -> sentences. A part's field is its name, the row as a whole is ``parts``."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field}: {' '.join(lines)}" for field, lines in errors.items()))


def refresh() -> Table:
    """The table in force, with the entries as they are stored now. One small query."""
    return put_before([entry.row for entry in Entry.objects.filter(retired_at=None)[:MOST]], ENTRIES)


def add(fields: Mapping[str, Any], *, actor: str) -> Entry:
    """A new entry. Raises ``EntryRefused``."""
    with transaction.atomic():
        if Entry.objects.filter(retired_at=None).count() >= MOST:
            raise EntryRefused({"parts": [_("There are %(most)s entries already; retire some.") % {"most": MOST}]})
        entry = Entry(created_by=actor)
        _write(entry, fields)
        audit("compatibility.create", _target(entry), actor=actor, **_said(entry))
    return entry


def replace(entry: Entry, fields: Mapping[str, Any], *, actor: str) -> Entry:
    """Let it say something else; what is not given stays. Raises ``EntryRefused``, for a retired one too."""
    with transaction.atomic():
        entry = Entry.objects.select_for_update().get(pk=entry.pk)
        if entry.retired_at:
            raise EntryRefused({"parts": [_("It is retired; restore it first.")]})
        before = _said(entry)
        entry.updated_by, entry.updated_at = actor, timezone.now()
        _write(entry, {**before, **fields})
        audit("compatibility.update", _target(entry), actor=actor, before=before, **_said(entry))
    return entry


def retire(entry: Entry, *, actor: str) -> Entry:
    """Ask it no longer; it stays to be read."""
    with transaction.atomic():
        now = timezone.now()
        if Entry.objects.filter(pk=entry.pk, retired_at=None).update(retired_at=now, retired_by=actor):
            audit("compatibility.retire", _target(entry), actor=actor, **_said(entry))
    entry.refresh_from_db()
    return entry


def restore(entry: Entry, *, actor: str) -> Entry:
    """Ask a retired one again. Raises ``EntryRefused`` when another has taken its place."""
    with transaction.atomic():
        if entry.retired_at:
            _alone(entry)
            Entry.objects.filter(pk=entry.pk).update(retired_at=None, retired_by="")
            audit("compatibility.restore", _target(entry), actor=actor, **_said(entry))
    entry.refresh_from_db()
    return entry


def _write(entry: Entry, fields: Mapping[str, Any]) -> None:
    row = _checked(fields)
    entry.parts = {part: list(versions) for part, versions in row.parts.items()}
    entry.fits, entry.only, entry.source = row.fits, list(row.only or ()), row.source
    _alone(entry)
    entry.save()


def _checked(fields: Mapping[str, Any]) -> Row:
    parts = fields.get("parts")
    if not isinstance(parts, Mapping):
        raise EntryRefused({"parts": [_('Give the versions by part, as in {"driver": ["24.1.0"]}.')]})
    if unknown := {"fits", "only", "source"} & set(parts):
        raise EntryRefused({"parts": [_("%(name)s is no part.") % {"name": sorted(unknown)[0]}]})
    for part, versions in parts.items():
        listed = versions if isinstance(versions, list | tuple) else [versions]
        if len(listed) > MOST_VERSIONS:
            raise EntryRefused({part: [_("At most %(most)s versions of a part.") % {"most": MOST_VERSIONS}]})
        if any(len(str(one)) > LONGEST_VERSION for one in listed):
            raise EntryRefused({part: [_("A version has %(most)s characters at most.") % {"most": LONGEST_VERSION}]})
    if len(str(fields.get("source", ""))) > LONGEST_SOURCE:
        raise EntryRefused({"source": [_("A source has %(most)s characters at most.") % {"most": LONGEST_SOURCE}]})
    said = {"fits": fields.get("fits", True), "source": fields.get("source"), "only": fields.get("only") or None}
    try:
        row = read_row(0, {**parts, **said})
    except RowError as wrong:
        field = "parts" if wrong.field == "row" else wrong.field
        raise EntryRefused({field: [_(wrong.sentence) % wrong.values]}) from None
    if row.only and not row.fits:
        raise EntryRefused({"only": [_("Versions that do not go together have no “only”.")]})
    return row


def _alone(entry: Entry) -> None:
    """Two entries of the same versions would say the same twice, or contradict each other."""
    mine = _versions(entry.row)
    for other in Entry.objects.filter(retired_at=None).exclude(pk=entry.pk)[:MOST]:
        if _versions(other.row) == mine:
            raise EntryRefused(
                {"parts": [_("Entry %(number)s speaks of the same versions; replace that one.") % {"number": other.pk}]}
            )


def _versions(row: Row) -> dict[str, frozenset[Any]]:
    return {
        part: frozenset(
            key(one) if one[-1:].isdigit() and ".." not in one and part != "chip" else one for one in versions
        )
        for part, versions in row.parts.items()
    }


def _said(entry: Entry) -> dict[str, Any]:
    return {"parts": entry.parts, "fits": entry.fits, "only": entry.only, "source": entry.source}


def _target(entry: Entry) -> str:
    return f"compatibility:{entry.pk}"

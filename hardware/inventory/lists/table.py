"""Lists of machines as CSV. No Django here.

Columns: ``name`` (required), ``host``, ``port``, ``site``, ``labels`` (separated by spaces, commas or semicolons),
``credential``, ``fingerprint``, ``jump`` (the machine that the link goes through), ``bmc`` (host or host:port
of its board), ``bmc_credential``, ``bmc_fingerprint``; in any order, others are left out, and so are lines that begin
with ``#``. A machine without a host is reached by its name.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from hardware.inventory.lists.entries import Entry, Listing, ListRefused, Problem, checked, words

COLUMNS = ("name", "host", "port", "site", "labels", "credential", "fingerprint", "jump", "bmc", "bmc_credential",
           "bmc_fingerprint")  # fmt: skip
# A spreadsheet runs what begins with one of these. The mark that keeps it from that stands before itself, too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")
# Excel's own first line, which says what stands between the cells.
_SEPARATOR = re.compile(r"sep=(.)", re.I)


def read_csv(text: str) -> Listing:
    """The machines of a CSV with comma, semicolon or tab. Raises ``ListRefused`` when it has no column ``name``."""
    first = next((line for line in text.splitlines() if line.strip() and not line.startswith("#")), "")
    said = _SEPARATOR.fullmatch(first.strip())
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=said[1] if said else max(",;\t", key=first.count))
    try:
        filled = (row for row in rows if any(map(str.strip, row)) and not row[0].startswith("#"))
        if said:
            next(filled, [])
        head = [cell.strip().lower() for cell in next(filled, [])]
        if "name" not in head:
            raise ListRefused(f"The first line names no column called name; columns are {', '.join(COLUMNS)}.")
        found = [(rows.line_num, dict(zip(head, row, strict=False))) for row in filled]
    except csv.Error as wrong:
        raise ListRefused(f"Line {rows.line_num} is no CSV: {wrong}.") from wrong
    entries: list[Entry] = []
    problems: list[Problem] = []
    for line, row in found:
        cells = {name: (row.get(name) or "").strip().removeprefix("'") for name in COLUMNS}
        try:
            port = int(cells["port"] or 22)
        except ValueError:
            problems.append(Problem(line, f"{cells['name']}: {cells['port']!r} is no port."))
            continue
        labels = tuple(words(cells["labels"]))
        host = cells["host"] or cells["name"]
        login, known = cells["credential"], cells["fingerprint"]
        board = (cells["bmc"], cells["bmc_credential"], cells["bmc_fingerprint"])
        entries.append(
            Entry(cells["name"], host, port, cells["site"], labels, login, known, line, cells["jump"], *board)
        )
    unknown = [name for name in head if name and name not in COLUMNS]
    notes = [Problem(1, f"The column {name} was left out.") for name in unknown]
    return checked(entries, notes, problems)


def write_csv(entries: Iterable[Entry]) -> str:
    """The same machines as CSV, as ``read_csv`` reads it back."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(COLUMNS)
    for entry in entries:
        cells = (
            entry.name, entry.host, entry.port, entry.site, " ".join(entry.labels), entry.credential, entry.fingerprint,
            entry.jump, entry.bmc, entry.bmc_credential, entry.bmc_fingerprint,
        )  # fmt: skip
        rows.writerow([f"'{cell}" if str(cell).startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()

"""Which versions go together: what packages say of each other first, then a table with a source for each row.

``known.toml`` is the console's own; an operator's file comes before it, and what is entered on the page before both
(docs/preflight.md). No Django here.
"""

from hardware.inventory.preflight.compatibility.judgement import Verdict, judge
from hardware.inventory.preflight.compatibility.rows import CHIPS, NAMES, Row, RowError, read_row
from hardware.inventory.preflight.compatibility.table import (
    Table,
    TableError,
    from_files,
    in_force,
    known,
    load,
    put_before,
    read_table,
    use,
)

__all__ = [
    "CHIPS", "NAMES", "Row", "RowError", "Table", "TableError", "Verdict", "from_files", "in_force", "judge", "known",
    "load", "put_before", "read_row", "read_table", "use",
]  # fmt: skip

"""What a weight keeps when a budget holds it above its scheme."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Precision(StrEnum):
    """`INT8` is what int8-weight makes of it: a scale for each channel, activations untouched. `FLOAT` is as it was."""

    INT8 = "int8"
    FLOAT = "float"


# By a weight's name; whatever is not in it becomes what the scheme makes of it.
Raised = Mapping[str, Precision]
NONE: Raised = MappingProxyType({})

"""What a report says of the method: on what GPTQ was fitted, and what it could do nothing with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.quantization.methods.gptq import DAMPINGS
from jobs.quantization.methods.moments import some_of
from jobs.quantization.options import Options
from jobs.quantization.samples import Samples

EXAMPLES = 3


@dataclass(frozen=True)
class Fitted:
    """GPTQ's own settings: `rows` of the samples `on`, the first `damping`, and the MiB that it was allowed."""

    on: str
    rows: int
    damping: float
    memory_mib: int

    @classmethod
    def by(cls, options: Options, samples: Samples) -> Fitted | None:
        """On the samples that were given; None for another method."""
        if options.method != "gptq":
            return None
        return cls(samples.origin, len(some_of(samples).feeds), DAMPINGS[0], options.memory_mib)

    def doubts(self, unfit: Mapping[str, str], *, measured: int) -> list[str]:
        """What a reader should know: `unfit` weights by name with the reason, `measured` rows of the same samples."""
        found = []
        if measured:
            found.append(
                f"GPTQ was fitted on {self.rows} of the {measured} rows that the answers are compared on: compare on "
                "others as well."
            )
        by_reason: dict[str, list[str]] = defaultdict(list)
        for name, reason in sorted(unfit.items()):
            by_reason[reason].append(name)
        for reason, names in by_reason.items():
            more = f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else ""
            found.append(f"HQQ instead of GPTQ for {', '.join(names[:EXAMPLES])}{more}: {reason}.")
        return found

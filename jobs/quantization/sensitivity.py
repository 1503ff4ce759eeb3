"""How much of a model's answers each weight costs when it alone is quantized and all others are float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from jobs.quantization.measure import Outputs, agreement_of, outputs_of
from jobs.quantization.precision import Precision, Raised
from jobs.quantization.samples import Samples

# A cosine moves with every weight, so that a few rows order them; shares of right answers would need hundreds.
ROWS = 32


def sensitivities(
    names: Sequence[str],
    write: Callable[[Raised], Path],
    samples: Samples,
    wanted: Sequence[Outputs],
    tell: Callable[[int, str], None],
) -> dict[str, float]:
    """1 - mean cosine of the outputs for each weight, the costliest first: 0 is no difference.

    `write` makes a model in which some weights are raised and gives its path; `wanted` is what the original answers to
    `samples`. `tell` gets the count of weights that are done and a line. One model is written and run for each weight,
    on at most `ROWS` rows spread over the samples. Raises Unloadable.
    """
    step = -(-len(samples.feeds) // ROWS)
    some = Samples(samples.origin, samples.feeds[::step])
    before = list(wanted[::step])
    found: dict[str, float] = {}
    for number, name in enumerate(names, start=1):
        path = write({other: Precision.FLOAT for other in names if other != name})
        cosine = agreement_of(before, outputs_of(path, some.feeds), some).cosine_mean
        found[name] = 0.0 if cosine is None else round(max(0.0, 1 - cosine), 6)
        tell(number, f"{name} alone costs {found[name]:.6f} of the cosine")
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))

"""Holding a budget: the fewest of the most sensitive weights stay at a higher precision until what is lost is allowed.

The ladder: first every 4-bit or dynamic weight is raised to int8, the most sensitive first, then every weight to float
in the same order, all but the last. Bisection finds a rung on which the budget holds while it does not on the one
below; each rung is written and measured on all samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jobs.quantization.errors import BudgetNotHeld, QuantizationRefused
from jobs.quantization.measure import Agreement, agreement_of, outputs_of
from jobs.quantization.precision import Precision, Raised
from jobs.quantization.samples import Samples
from jobs.quantization.sensitivity import sensitivities
from jobs.quantization.written import Written

Tell = Callable[[float, str], None]
RANGE_MEND = "Give a share from 0 to below 1: 0.02 is two answers in a hundred."


@dataclass(frozen=True)
class Kept:
    """A weight above its scheme: `precision` is int8 or float, `bytes_more` what that costs beyond the scheme."""

    name: str
    precision: str
    bytes: int
    bytes_more: int
    sensitivity: float


@dataclass(frozen=True)
class Budget:
    """What was allowed and what it took. Shares are of 1 and may be below 0 when the result does better.

    `of` is accuracy on a labelled set and else agreement with the original. `lost_by_scheme` is what the scheme lost
    before anything was raised; `bytes_more` what the model is larger for that.
    """

    asked: float
    of: str
    on: str
    held: bool
    lost: float
    lost_by_scheme: float
    bytes_more: int
    measurements: int
    layers_kept: int
    kept: list[Kept]

    def doubts(self, *, generated: bool, rows: int) -> list[str]:
        """What a reader should know before trusting it."""
        found = []
        if generated:
            found.append("The budget holds on generated inputs, which are random: give a calibration set of real ones.")
        if 0 < self.asked < 1 / max(rows, 1):
            found.append(f"The budget is less than one of the {rows} rows that it was measured on: give more rows.")
        return found


@dataclass(frozen=True)
class Found:
    """Which weights are raised, what each costs alone (the costliest first), and how many models were measured."""

    raised: Raised
    sensitivity: dict[str, float] = field(default_factory=dict)
    measurements: int = 1

    def told(self, asked: float, scheme: tuple[Written, Agreement], result: tuple[Written, Agreement]) -> Budget:
        """The report of it, from the scheme alone and the result, each as it was written and measured.

        Raises BudgetNotHeld when the result, measured again, answers otherwise than during the search.
        """
        of, loss = lost(result[1])
        if loss > asked:
            raise BudgetNotHeld(
                f"The result lost {loss:.4f} of {of} when it was measured again, and {asked:g} may be lost.",
                "Run it again, and allow more if that happens twice.",
            )
        lowest = {weight.name: scheme[0].bytes_of(weight) for weight, _ in scheme[0].weights}
        now = {weight.name: result[0].bytes_of(weight) for weight, _ in result[0].weights}
        whole = {weight.name: weight.bytes for weight, _ in scheme[0].weights}
        kept = [
            Kept(
                name,
                str(precision),
                size := now.get(name, whole[name]),
                size - lowest[name],
                self.sensitivity[name],
            )
            for name, precision in self.raised.items()
        ]
        return Budget(
            asked=asked,
            of=of,
            on=result[1].on,
            held=True,
            lost=loss,
            lost_by_scheme=lost(scheme[1])[1],
            bytes_more=result[0].output.bytes - scheme[0].output.bytes,
            measurements=self.measurements,
            layers_kept=len(kept),
            kept=kept,
        )


def refuse_nonsense(asked: float | None, *, measure: bool) -> None:
    """Raises QuantizationRefused (`budget-invalid`)."""
    if asked is None:
        return
    if not 0 <= asked < 1:
        raise QuantizationRefused("budget-invalid", f"A budget of {asked:g} is no share.", RANGE_MEND)
    if not measure:
        raise QuantizationRefused(
            "budget-invalid", "A budget is held by measuring, which was forbidden.", "Leave --no-measure out."
        )


def lost(agreement: Agreement) -> tuple[str, float]:
    """Of what, and how much. Raises QuantizationRefused (`budget-not-measurable`)."""
    if agreement.accuracy_before is not None and agreement.accuracy_after is not None:
        return "accuracy", round(agreement.accuracy_before - agreement.accuracy_after, 4)
    if agreement.agreement is not None:
        return "agreement", round(1 - agreement.agreement, 4)
    reason = "the model's outputs have no classes to compare" if agreement.measured else agreement.on
    raise QuantizationRefused(
        "budget-not-measurable", f"Whether the budget holds cannot be said: {reason}.", "Leave the budget out."
    )


class Search:
    """The search for one model. `write` makes a model with some weights raised and gives its path."""

    def __init__(
        self, asked: float, original: Path, samples: Samples, write: Callable[[Raised], Path], tell: Tell
    ) -> None:
        self.asked = asked
        self.original = original
        self.samples = samples
        self.write = write
        self.tell = tell

    def run(self, first: Agreement, names: Sequence[str], low: frozenset[str]) -> Found:
        """The rung on which the budget holds. `first` is the scheme alone; `low` are those that int8 would raise.

        Raises BudgetNotHeld and Unloadable.
        """
        of, best = lost(first)
        if best <= self.asked:
            return Found({})
        self.tell(0.0, f"{best:.4f} of {of} lost and {self.asked:g} allowed; {len(names)} weights are tried alone")
        wanted = outputs_of(self.original, self.samples.feeds)
        costs = sensitivities(
            names,
            self.write,
            self.samples,
            wanted,
            lambda done, line: self.tell(0.7 * done / len(names), f"{done} of {len(names)}: {line}"),
        )
        ladder = _ladder(list(costs), low)
        measured: dict[int, float] = {0: best}

        def holds(rung: int) -> bool:
            if rung not in measured:
                path = self.write(dict(ladder[:rung]))
                got = agreement_of(wanted, outputs_of(path, self.samples.feeds), self.samples)
                measured[rung] = lost(got)[1]
                kept = len(dict(ladder[:rung]))
                self.tell(0.7 + 0.3 * min(1.0, len(measured) / 12), f"{kept} kept: {measured[rung]:.4f} of {of} lost")
            return measured[rung] <= self.asked

        below, above = 0, None
        for stop in (len(low), len(ladder)):
            if holds(stop):
                above = stop
                break
            below = stop
        if above is None:
            rung, best = min(measured.items(), key=lambda pair: pair[1])
            raise BudgetNotHeld(
                f"{self.original.name} loses {best:.4f} of {of} at best on {self.samples.origin}, with "
                f"{len(dict(ladder[:rung]))} of {len(names)} weights kept higher; {self.asked:g} may be lost.",
                "Allow more, take smaller blocks or a scheme of more bits.",
            )
        while above - below > 1:
            middle = (below + above) // 2
            if holds(middle):
                above = middle
            else:
                below = middle
        return Found(dict(ladder[:above]), costs, len(names) + len(measured))


def _ladder(names: list[str], low: frozenset[str]) -> list[tuple[str, Precision]]:
    """What is raised one after the other. The last weight is never float: nothing would be quantized."""
    eight = [(name, Precision.INT8) for name in names if name in low]
    return eight + [(name, Precision.FLOAT) for name in names[:-1]]

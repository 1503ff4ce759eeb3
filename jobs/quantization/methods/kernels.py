"""What quantizes by the method that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobs.quantization.blocks import BlockKernel
from jobs.quantization.choice import Chosen
from jobs.quantization.fourbit import FourBit
from jobs.quantization.journal import Journal
from jobs.quantization.methods.gptq import FeedbackKernel
from jobs.quantization.methods.moments import MIB, Moments, some_of
from jobs.quantization.options import Options
from jobs.quantization.rewrite import Rewriter
from jobs.quantization.samples import Samples


def kernel_for(
    options: Options,
    threads: int,
    source: Path,
    samples: Samples,
    rewriter: Rewriter,
    journal: Journal,
    tell: Callable[[str], None],
) -> tuple[BlockKernel, list[Chosen]]:
    """The kernel for what `rewriter` has decided on, and its weights in the order in which they are best taken.

    `samples` of the model `source` are what GPTQ reads inputs on. Raises QuantizationRefused: `memory-too-small`, and
    what `capture` does.
    """
    chosen = list(rewriter.chosen.values())
    if options.method != "gptq" or not isinstance(rewriter, FourBit):
        return BlockKernel(threads, options.method), chosen
    moments = Moments(
        source,
        some_of(samples),
        [weight for weight in chosen if weight.blocks],
        rewriter.multiplied,
        options.memory_mib * MIB,
        journal.found_unfit,
        tell,
    )
    return FeedbackKernel(threads, moments.feedback_of), moments.ordered(chosen)

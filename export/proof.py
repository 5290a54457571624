"""The proof of one phase: the figures of its comparisons, and what was decided about its arithmetic on the way."""

from dataclasses import dataclass, field

from clavilux.runtime.bundle.manifest import ArithmeticChoice, KeptOperators, ParityFigure


@dataclass
class Proof:
    """Filled by a phase, kept by the record of what is finished, written into the manifest."""

    figures: list[ParityFigure] = field(default_factory=list)
    kept: list[KeptOperators] = field(default_factory=list)  # operators that stay in float32
    choices: list[ArithmeticChoice] = field(default_factory=list)  # arithmetic that was chosen by measurement

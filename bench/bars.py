"""What has to be reached: a bar names a figure, which of its measures counts, and on which side of the bar it has to be."""

from dataclasses import dataclass
from typing import Any

from bench.plan import APPEND_BAR, AUTHORIZE_BAR, CHECK_BAR, FORWARD_GOAL, GROWN_CHECK_BAR, PROOF_GOAL_MS

Figures = dict[str, dict[str, Any]]
OF_BARE = "{ratio:.2f} of the bare server's; the bar is {bar}"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: `measure` of `figure` is at least `bound`, or with `at_most` at most. `says` is filled from the figure."""

    figure: str
    bound: float
    says: str = OF_BARE
    measure: str = "ratio"
    at_most: bool = False

    def verdict(self, figures: Figures) -> dict[str, Any]:
        """What was reached, as results keep it."""
        value = figures[self.figure][self.measure]
        return {
            "figure": self.figure,
            "measure": self.measure,
            "value": value,
            "direction": "at most" if self.at_most else "at least",
            "bar": self.bound,
            "passed": value <= self.bound if self.at_most else value >= self.bound,
        }

    def line(self, figures: Figures) -> str:
        """What was reached, as a sentence."""
        return f"{self.figure}: " + self.says.format(bar=self.bound, **figures[self.figure])


PROOF = Bar(
    "proof", PROOF_GOAL_MS, "p50 {p50_ms:.2f} ms at {entries:,} entries; the goal is {bar:g} ms", "p50_ms", at_most=True
)
GROWTH = (
    Bar(
        "check",
        GROWN_CHECK_BAR,
        "{ratio:.2f} of the calls a second with {few_consents:,} consents at {consents:,}; the bar is {bar}",
    ),
    Bar(
        "append",
        APPEND_BAR,
        "the last {stretch:,} of {entries:,} entries took {ratio:.2f} of the first's time; at most {bar}",
        at_most=True,
    ),
)
"""The bars of a run that compares a large ledger with a small one."""


def standard(figures: Figures) -> list[Bar]:
    """The bars of a standard run: lone calls have none, nor have the larger forwards and the consistency proofs."""
    loaded = [name for name in figures if "lone" not in name]
    bars = [Bar(name, CHECK_BAR) for name in loaded if name.startswith("check_")]
    bars += [Bar(name, AUTHORIZE_BAR) for name in loaded if name.startswith("authorize_")]
    return [*bars, Bar("forward", FORWARD_GOAL), PROOF]

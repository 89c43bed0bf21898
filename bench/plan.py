"""How much is measured, and the bars."""

from dataclasses import dataclass

MIB = 1 << 20
CHECK_BAR, AUTHORIZE_BAR, FORWARD_GOAL = 0.5, 0.5, 0.33
"""What share of the bare echo's calls a second, and of the bare relay's speed, Accord has to reach."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a run; times in seconds, document sizes in bytes.

    `patients` are seeded once and kept. Each workload is measured `rounds` times against the echo, `run_s` each after
    `warm_up_s`; `lone_calls` are sent one at a time; (size, count) of `forwards` are documents sent one after another.
    """

    patients: int = 100_000
    rounds: int = 5
    run_s: float = 2.0
    warm_up_s: float = 0.4
    in_flight: int = 64
    lone_calls: int = 400
    zipf: float = 1.1
    revocations_a_second: float = 20.0
    forwards: tuple[tuple[int, int], ...] = ((MIB, 25), (64 * MIB, 3))


QUICK = Plan(patients=200, rounds=1, run_s=0.3, warm_up_s=0.1, lone_calls=20, forwards=((MIB, 3), (2 * MIB, 1)))
"""A smoke run: every figure, none to be believed."""

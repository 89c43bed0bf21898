"""How much is measured, and the bars."""

from dataclasses import dataclass

MIB = 1 << 20
CHECK_BAR, AUTHORIZE_BAR, FORWARD_GOAL = 0.5, 0.5, 0.33
"""What share of the bare echo's calls a second, and of the bare relay's speed, Accord has to reach."""
PROOF_GOAL_MS = 1.0
"""The median time in which an inclusion proof is read and made."""
GROWN_CHECK_BAR, APPEND_BAR = 0.8, 1.2
"""What share of a small ledger's calls a second a large one has to reach; how much longer it may take to append to it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a run; times in seconds, document sizes in bytes.

    `patients` are seeded once and kept, five entries each. `proofs` of each kind are made on their ledger. Each workload is
    measured `rounds` times against the echo, `run_s` each after `warm_up_s`; `lone_calls` are sent one at a time; (size,
    count) of `forwards` are documents sent one after another.
    """

    patients: int = 200_000
    proofs: int = 1000
    rounds: int = 5
    run_s: float = 2.0
    warm_up_s: float = 0.4
    in_flight: int = 64
    lone_calls: int = 400
    zipf: float = 1.1
    revocations_a_second: float = 20.0
    forwards: tuple[tuple[int, int], ...] = ((MIB, 25), (64 * MIB, 3))


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """Sizes of a run that compares a large ledger with a small one; times in seconds.

    `many` and `few` patients are seeded once and kept, with two consents and five entries each. `Check` is measured `rounds`
    times on both, `run_s` each after `warm_up_s`. Appending is compared between the first and the last `stretch` of the
    large ledger's first `entries`.
    """

    many: int = 500_000
    few: int = 5_000
    rounds: int = 7
    run_s: float = 2.0
    warm_up_s: float = 0.5
    in_flight: int = 64
    entries: int = 1_000_000
    stretch: int = 100_000


QUICK = Plan(
    patients=200, proofs=50, rounds=1, run_s=0.3, warm_up_s=0.1, lone_calls=20, forwards=((MIB, 3), (2 * MIB, 1))
)
QUICK_GROWTH = GrowthPlan(many=2000, few=200, rounds=2, run_s=0.3, warm_up_s=0.1, entries=10_000, stretch=2_000)
"""Smoke runs: every figure, none to be believed."""

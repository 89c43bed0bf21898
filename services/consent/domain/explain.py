"""Why an exchange would be permitted or denied: every rule that `decide` applies to the caller's side, in its order.

Guarantees that an explanation never says more than its caller may know: a stranger learns nothing; of the other party only
whether it may take part, and that only once the caller's own side holds, as `decide` would tell it; whether a document is
the patient's only where nothing else fails. Masking has no reason of its own for who reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from services.consent.domain.decision import (
    Deny,
    Facts,
    Failure,
    Party,
    Permit,
    decide,
    document_rules,
    find_ground,
    is_stranger,
    party_rules,
    profile_rules,
    rights,
    rules,
    told_to,
)
from services.consent.domain.rules import failed, refuses
from services.errors import Reason


@dataclass(frozen=True, slots=True)
class Step:
    """One rule: what failing it means, whether it holds, and the consent revision it was asked of, if any."""

    reason: Reason
    holds: bool
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """`verdict` is `decide`'s, with `told` for the caller; where it denies, `told` is among the failing steps."""

    verdict: Permit | Deny
    steps: tuple[Step, ...]


def explain(facts: Facts, now_ms: int, side: int = 0) -> Explanation:
    """Explains one exchange at `now_ms` to the party at place `side`, as if that one had asked; no party: a stranger."""
    seen = _seen_from(facts, side)
    return Explanation(decide(seen, now_ms), tuple(_steps(seen, now_ms)))


def _seen_from(facts: Facts, side: int) -> Facts:
    own = tuple(party for place, party in enumerate(facts.parties) if place == side)
    others = tuple(party for place, party in enumerate(facts.parties) if place != side)
    return replace(facts, parties=own + others if own else ())


def _steps(facts: Facts, now_ms: int) -> Iterator[Step]:
    if is_stranger(facts):
        yield Step(Reason.NOT_PERMITTED, False)
        return
    own, *others = facts.parties
    yield from _own_side(own, facts, now_ms)
    if failed(profile_rules(facts)) is not None or isinstance(find_ground(own, facts, now_ms), Failure):
        return
    permitted = not any(isinstance(find_ground(party, facts, now_ms), Failure) for party in others)
    if others:
        yield Step(Reason.RECIPIENT_NOT_PERMITTED, permitted)
    if permitted:
        yield from _documents(facts)


def _own_side(own: Party, facts: Facts, now_ms: int) -> Iterator[Step]:
    for reason, holds in (*profile_rules(facts), *party_rules(own, facts, now_ms)):
        yield Step(told_to(own.direction, reason), holds)
    given = rights(own)
    for consent in own.consents:
        if consent not in given:
            yield Step(Reason.EXPLICITLY_DENIED, not refuses(consent, own.direction, facts, now_ms), consent.revision)
    yield Step(Reason.CONSENT_MISSING, bool(given))
    for consent in given:
        for reason, holds in rules(consent, own.direction, facts, now_ms):
            yield Step(told_to(own.direction, reason), holds, consent.revision)


def _documents(facts: Facts) -> Iterator[Step]:
    for reason, holds in document_rules(facts):
        yield Step(reason, holds)
        if not holds:
            return

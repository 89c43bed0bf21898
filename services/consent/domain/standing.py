"""Which consents would carry something now: the rules of `decide`, without those that only particular data can meet.

Labels and dates are the data's own: where none is at hand, they neither give nor take a right. Everything else that
`decide` asks of one side of an exchange is asked here, by the same rules. What this lists is no decision.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from services.consent.domain.decision import ConsentFact, Facts, Party, Standing, party_rules, profile_rules, rights
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.rules import failed, refuses, rules
from services.errors import Reason
from services.formats.rights import Direction, Purpose, covers
from services.nomenclature.documents import EDITIONS

_OF_DATA = frozenset({Reason.LABEL_EXCLUDED, Reason.DATA_PERIOD_NOT_GRANTED})
_OF_CATEGORY = frozenset({Reason.CONVENTION_EXCEEDED, Reason.EXPLICITLY_DENIED, Reason.DATA_EXCLUDED})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a consent must be good for; None or empty: anything."""

    direction: Direction | None = None
    purpose: Purpose | None = None
    category: str = ""


@dataclass(frozen=True, slots=True)
class Holder:
    """A service and what one patient gave it: paired, for consents exist under a pairing only."""

    service: str
    standing: Standing | None
    consents: tuple[ConsentFact, ...]


def carrying(profile: ProfileStatus, holder: Holder, wanted: Wanted, now_ms: int) -> tuple[ConsentFact, ...]:
    """The consents that would carry a part of what is wanted now, in order."""
    party = Party(holder.service, Direction.READ, holder.standing, True, holder.consents)
    return tuple(item for item in rights(party) if _carries(item, profile, party, wanted, now_ms))


def _carries(consent: ConsentFact, profile: ProfileStatus, party: Party, wanted: Wanted, now_ms: int) -> bool:
    scope = consent.scope
    directions = scope.directions if wanted.direction is None else scope.directions & {wanted.direction}
    purposes = scope.purposes if wanted.purpose is None else scope.purposes & {wanted.purpose}
    for direction, purpose in product(sorted(directions), sorted(purposes)):
        facts = Facts(profile, (replace(party, direction=direction),), purpose, frozenset())
        if any(_permits(consent, facts, category, now_ms, wanted) for category in _categories(consent, wanted)):
            return True
    return False


def _categories(consent: ConsentFact, wanted: Wanted) -> list[str]:
    if not wanted.category:
        return sorted(consent.scope.categories)
    return [wanted.category] if covers(consent.scope.categories, {wanted.category}) else []


def _permits(consent: ConsentFact, facts: Facts, category: str, now_ms: int, wanted: Wanted) -> bool:
    reason = _failure(consent, replace(facts, categories=frozenset({category})), now_ms)
    # What is refused of a class may be a part of it: unless the whole was asked for, its types are looked at one by one.
    if reason in _OF_CATEGORY and not wanted.category:
        narrower = (replace(facts, categories=frozenset({item})) for item in _types_of(category))
        return any(_failure(consent, item, now_ms) is None for item in narrower)
    return reason is None


def _failure(consent: ConsentFact, facts: Facts, now_ms: int) -> Reason | None:
    (party,) = facts.parties
    refused = any(refuses(item, party.direction, facts, now_ms) for item in party.consents)
    of_consent = rules(consent, party.direction, facts, now_ms)
    asked = (
        *profile_rules(facts),
        *party_rules(party, facts, now_ms),
        (Reason.EXPLICITLY_DENIED, not refused),
        *((reason, holds) for reason, holds in of_consent if reason not in _OF_DATA),
    )
    return failed(asked)


def _types_of(category: str) -> Iterator[str]:
    kind, _, code = category.partition(":")
    return (f"type:{type_}" for type_, class_ in EDITIONS[-1].class_of.items() if kind == "class" and class_ == code)

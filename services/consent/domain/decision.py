"""The decision: a pure function of facts and time, `Permit | Deny(reason)`. Doubt means no.

Right = (consent − explicit refusals − exceptions − labels) ∩ convention ∩ referencing with exchange ∩ profile active ∩
validity ∩ period of the data ∩ quota, for every party to the exchange: a service that sends needs its DEPOSIT, one that
receives its READ. What one consent must meet is in `rules`. Leaves to the caller that facts are gathered under lock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter

from services.consent.domain.facts import ConsentFact as ConsentFact
from services.consent.domain.facts import Facts as Facts
from services.consent.domain.facts import Party as Party
from services.consent.domain.facts import Standing as Standing
from services.consent.domain.facts import resting_on as resting_on
from services.consent.domain.lifecycle import ProfileStatus
from services.consent.domain.rules import HIDDEN_FROM_PATIENT, Rule, ends, failed, lasts, opposes, refuses
from services.consent.domain.rules import rules as rules
from services.consent.domain.rules import shortfall as shortfall
from services.consent.domain.terms import Effect
from services.errors import Reason
from services.formats.lease import Status
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Basis, Direction, Scope, covers


@dataclass(frozen=True, slots=True)
class Permit:
    """Permitted, resting on these consent revisions, until before `until_s` (seconds since 1970).

    `counts`: those of them whose quota this exchange uses. `erase_ms`: when the recipient must have erased what it gets.
    """

    resources: tuple[str, ...]
    until_s: int
    counts: tuple[str, ...] = ()
    erase_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied. `reason` is recorded; `told` is what the asking service may know of it."""

    reason: Reason
    told: Reason
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one party has no ground: the reason, and the revision that came nearest, if any."""

    reason: Reason
    resources: tuple[str, ...] = ()


def decide(facts: Facts, now_ms: int) -> Permit | Deny:
    """Decides one exchange at `now_ms`.

    A stranger (unknown or never paired with the patient) learns nothing: NOT_PERMITTED. What is wrong on the other party's
    side is told as RECIPIENT_NOT_PERMITTED.
    """
    reason = Reason.NOT_PERMITTED if is_stranger(facts) else failed(profile_rules(facts))
    if reason is not None:
        return Deny(reason, reason)
    sides: list[tuple[Party, ConsentFact]] = []
    for position, party in enumerate(facts.parties):
        ground = find_ground(party, facts, now_ms)
        if isinstance(ground, Failure):
            told = Reason.RECIPIENT_NOT_PERMITTED if position else told_to(party.direction, ground.reason)
            return Deny(ground.reason, told, ground.resources)
        sides.append((party, ground))
    reason = failed(document_rules(facts))
    return Deny(reason, reason) if reason is not None else _permit(facts, sides, now_ms)


def is_stranger(facts: Facts) -> bool:
    """Whether the asking service may know nothing, not even that the patient exists."""
    return facts.profile is None or not facts.parties or not facts.parties[0].paired


def told_to(direction: Direction, reason: Reason) -> Reason:
    """What a service may know of a reason on its own side. Who reads must not learn that something masked exists."""
    masked = reason is Reason.LABEL_EXCLUDED and direction is Direction.READ
    return Reason.DATA_EXCLUDED if masked else reason


def profile_rules(facts: Facts) -> tuple[Rule, ...]:
    """What must hold whoever exchanges."""
    return (
        (Reason.PROFILE_SUSPENDED, facts.profile is not ProfileStatus.SUSPENDED),
        (Reason.PROFILE_NOT_OPEN, facts.profile in (ProfileStatus.ACTIVE, ProfileStatus.SUSPENDED)),
        (Reason.BASIS_NOT_ALLOWED, facts.basis is Basis.CONSENT),
    )


def party_rules(party: Party, facts: Facts, now_ms: int) -> Iterator[Rule]:
    """What must hold of a party before any consent is looked at."""
    status = party.standing.status if party.standing else None
    convention = party.standing.convention if party.standing else None
    yield Reason.SERVICE_SUSPENDED, status is not Status.SUSPENDED
    yield Reason.SERVICE_NOT_REFERENCED, status is Status.REFERENCED_WITH_EXCHANGE
    in_force = convention is not None and convention.in_force(now_ms) and lasts(convention.end_ms, now_ms)
    yield Reason.CONVENTION_NOT_IN_FORCE, in_force
    yield Reason.CONVENTION_EXCEEDED, convention is not None and _allows(convention.scope, party.direction, facts)
    yield Reason.NOT_PERMITTED, party.paired
    yield Reason.LABEL_EXCLUDED, party.direction is not Direction.READ or HIDDEN_FROM_PATIENT not in facts.labels


def _allows(scope: Scope, direction: Direction, facts: Facts) -> bool:
    asked = facts.purpose in scope.purposes and direction in scope.directions
    return asked and covers(scope.categories, facts.categories)


def find_ground(party: Party, facts: Facts, now_ms: int) -> ConsentFact | Failure:
    """The consent that carries a party's side of the exchange, or why there is none."""
    reason = failed(party_rules(party, facts, now_ms))
    if reason is not None:
        return Failure(reason)
    refusal = next((item for item in party.consents if refuses(item, party.direction, facts, now_ms)), None)
    if refusal is not None:
        return Failure(Reason.EXPLICITLY_DENIED, (refusal.revision,))
    return _carrying(party, facts, now_ms)


def _carrying(party: Party, facts: Facts, now_ms: int) -> ConsentFact | Failure:
    failures: list[tuple[int, Failure]] = []
    for consent in rights(party):
        short = shortfall(consent, party.direction, facts, now_ms)
        if short is None:
            return consent
        place, reason = short
        failures.append((place, Failure(reason, (consent.revision,))))
    if not failures:
        return Failure(Reason.CONSENT_MISSING)
    return max(failures, key=itemgetter(0))[1]


def rights(party: Party) -> tuple[ConsentFact, ...]:
    """The party's consents that give something, in order."""
    return tuple(item for item in party.consents if item.limits.effect is Effect.PERMIT)


def document_rules(facts: Facts) -> Iterator[Rule]:
    """What must hold of the documents shown.

    In this order: whether a guessed identity is the patient's is not told where no document with one may pass.
    """
    receivers = (party.standing for party in facts.parties if party.direction is Direction.READ)
    ins_allowed = all(item is not None and item.convention.ins_in_documents for item in receivers)
    yield Reason.INS_NOT_ALLOWED, not facts.documents_match or ins_allowed
    yield Reason.PATIENT_MISMATCH, all(facts.documents_match)


def _permit(facts: Facts, sides: list[tuple[Party, ConsentFact]], now_ms: int) -> Permit:
    ending = [instant for party, ground in sides for instant in _ends(party, ground, facts, now_ms)]
    erasures = [ground.limits.erase_ms for party, ground in sides if party.direction is Direction.READ]
    return Permit(
        tuple(ground.revision for _, ground in sides),
        min(now_ms // 1000 + PERMIT_LIFE_S, min(ending) // 1000),
        tuple(ground.revision for _, ground in sides if ground.limits.quota is not None and not ground.counted),
        min((erase_ms for erase_ms in erasures if erase_ms is not None), default=None),
    )


def _ends(party: Party, ground: ConsentFact, facts: Facts, now_ms: int) -> Iterator[int]:
    yield from ends(ground, party.direction)
    if party.standing is not None:
        yield party.standing.convention.end_ms
    for consent in party.consents:
        # A refusal that is known to start while the permit would still live.
        if lasts(consent.start_ms, now_ms) and opposes(consent, party.direction, facts):
            yield consent.start_ms

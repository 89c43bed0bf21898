"""The decision: a pure function of facts and time, `Permit | Deny(reason)`. Doubt means no.

Right = consent ∩ convention ∩ referencing with exchange ∩ profile open ∩ validity, for every party to the exchange: a
service that sends needs its DEPOSIT, one that receives its READ. Leaves to the caller that facts are gathered under lock.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from services.errors import Reason
from services.formats.lease import Convention, Status
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Direction, Purpose, Scope


class ProfileStatus(StrEnum):
    """Whether the patient's profile is open to exchanges."""

    OPEN = "OPEN"


class ConsentState(StrEnum):
    """Where a consent stands, its dates apart."""

    ACTIVE = "ACTIVE"
    REVOKED = "REVOKED"


@dataclass(frozen=True, slots=True)
class ConsentFact:
    """The current revision of a consent; valid from `start_ms` until before `end_ms`."""

    revision: str
    state: ConsentState
    scope: Scope
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """A service as the registry's lease has it."""

    status: Status
    convention: Convention


@dataclass(frozen=True, slots=True)
class Party:
    """One service's side of an exchange: its direction, standing (None: unknown), pairing and consents."""

    service: str
    direction: Direction
    standing: Standing | None
    paired: bool
    consents: tuple[ConsentFact, ...]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a decision rests on. The first party names the patient; `profile` is None for an unknown patient.

    `documents_match` says for each document whether its identity is the profile's; empty where none was shown.
    """

    profile: ProfileStatus | None
    parties: tuple[Party, ...]
    purpose: Purpose
    categories: frozenset[str]
    documents_match: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """Permitted, resting on these consent revisions, until before `until_s` (seconds since 1970)."""

    resources: tuple[str, ...]
    until_s: int


@dataclass(frozen=True, slots=True)
class Deny:
    """Denied. `reason` is recorded; `told` is what the asking service may know of it."""

    reason: Reason
    told: Reason
    resources: tuple[str, ...] = ()


def resting_on(facts: Facts, resources: frozenset[str]) -> Facts:
    """The facts without the consents that these revisions do not belong to."""
    names = {revision.partition("/revisions/")[0] for revision in resources}
    parties = tuple(
        replace(
            party, consents=tuple(item for item in party.consents if item.revision.partition("/revisions/")[0] in names)
        )
        for party in facts.parties
    )
    return replace(facts, parties=parties)


class _RefusalError(Exception):
    """A rule that does not hold; never leaves this module."""

    def __init__(self, reason: Reason, resources: tuple[str, ...] = ()) -> None:
        super().__init__(reason)
        self.reason, self.resources = reason, resources


def decide(facts: Facts, now_ms: int) -> Permit | Deny:
    """Decides one exchange at `now_ms`.

    A stranger (unknown or never paired with the patient) learns nothing: NOT_PERMITTED. What is wrong on the other party's
    side is told as RECIPIENT_NOT_PERMITTED.
    """
    if facts.profile is None or not facts.parties or not facts.parties[0].paired:
        return Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)
    if facts.profile is not ProfileStatus.OPEN:
        return Deny(Reason.PROFILE_NOT_OPEN, Reason.PROFILE_NOT_OPEN)
    grounds: list[ConsentFact] = []
    for position, party in enumerate(facts.parties):
        try:
            _check_standing(party, facts, now_ms)
            grounds.append(_find_consent(party, facts, now_ms))
        except _RefusalError as refusal:
            told = refusal.reason if position == 0 else Reason.RECIPIENT_NOT_PERMITTED
            return Deny(refusal.reason, told, refusal.resources)
    reason = _documents_reason(facts)
    if reason is not None:
        return Deny(reason, reason)
    return _permit(facts, grounds, now_ms)


def _check_standing(party: Party, facts: Facts, now_ms: int) -> None:
    standing = party.standing
    if standing is not None and standing.status is Status.SUSPENDED:
        raise _RefusalError(Reason.SERVICE_SUSPENDED)
    if standing is None or standing.status is not Status.REFERENCED_WITH_EXCHANGE:
        raise _RefusalError(Reason.SERVICE_NOT_REFERENCED)
    convention = standing.convention
    if not (convention.in_force(now_ms) and _lasts(convention.end_ms, now_ms)):
        raise _RefusalError(Reason.CONVENTION_NOT_IN_FORCE)
    if not _asked(party, facts).within(convention.scope):
        raise _RefusalError(Reason.CONVENTION_EXCEEDED)


def _lasts(end_ms: int, now_ms: int) -> bool:
    # A permit counts whole seconds, so the last second of a right, where it is not whole, permits nothing.
    return now_ms // 1000 < end_ms // 1000


def _asked(party: Party, facts: Facts) -> Scope:
    return Scope(facts.categories, frozenset((party.direction,)), frozenset((facts.purpose,)))


# How near each failure is to a right: the nearest one is the reason given.
_NEARNESS = (
    Reason.CONSENT_MISSING,
    Reason.DIRECTION_NOT_GRANTED,
    Reason.PURPOSE_NOT_GRANTED,
    Reason.CATEGORY_NOT_GRANTED,
    Reason.CONSENT_REVOKED,
    Reason.CONSENT_EXPIRED,
    Reason.CONSENT_NOT_YET_VALID,
)


def _find_consent(party: Party, facts: Facts, now_ms: int) -> ConsentFact:
    if not party.paired:
        raise _RefusalError(Reason.NOT_PERMITTED)
    nearest = _RefusalError(Reason.CONSENT_MISSING)
    for consent in party.consents:
        reason = _shortfall(consent, _asked(party, facts), now_ms)
        if reason is None:
            return consent
        if _NEARNESS.index(reason) > _NEARNESS.index(nearest.reason):
            nearest = _RefusalError(reason, (consent.revision,))
    raise nearest


def _shortfall(consent: ConsentFact, asked: Scope, now_ms: int) -> Reason | None:
    rules = (
        (asked.directions <= consent.scope.directions, Reason.DIRECTION_NOT_GRANTED),
        (asked.purposes <= consent.scope.purposes, Reason.PURPOSE_NOT_GRANTED),
        (bool(asked.categories) and asked.categories <= consent.scope.categories, Reason.CATEGORY_NOT_GRANTED),
        (consent.state is ConsentState.ACTIVE, Reason.CONSENT_REVOKED),
        (_lasts(consent.end_ms, now_ms), Reason.CONSENT_EXPIRED),
        (consent.start_ms <= now_ms, Reason.CONSENT_NOT_YET_VALID),
    )
    return next((reason for holds, reason in rules if not holds), None)


def _documents_reason(facts: Facts) -> Reason | None:
    # In this order: whether a guessed identity is the patient's is not told where no document with one may pass.
    receivers = (party.standing for party in facts.parties if party.direction is Direction.READ)
    if facts.documents_match and not all(item and item.convention.ins_in_documents for item in receivers):
        return Reason.INS_NOT_ALLOWED
    return None if all(facts.documents_match) else Reason.PATIENT_MISMATCH


def _permit(facts: Facts, grounds: list[ConsentFact], now_ms: int) -> Permit:
    ends = [consent.end_ms // 1000 for consent in grounds]
    ends += [party.standing.convention.end_ms // 1000 for party in facts.parties if party.standing]
    return Permit(tuple(consent.revision for consent in grounds), min(now_ms // 1000 + PERMIT_LIFE_S, *ends))

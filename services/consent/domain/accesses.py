"""Who accessed a patient's data, or tried to, and who may read of it (L1111-19; EHDS article 9).

Guarantees that a representative reads only what would be said all the same had the minor kept nothing from them: of each
access the decision is taken again without the consents that are kept secret, and it is shown where that says the same. So
neither an access nor a refusal that rests on a secret consent is there, nor a service that is known by secret consents
alone. Doubt hides: what cannot be decided again is not shown to them.

An access to what the patient may not see yet is absent for a month, not shown without its categories: that somebody
moves hidden data would tell that there is some (R1111-53, EHDS article 8). Leaves gathering, and pages, to others.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from services.consent.domain.decision import Deny, Facts, Party, decide
from services.consent.domain.rules import HIDDEN_FROM_PATIENT, HIDDEN_FROM_REPRESENTATIVES
from services.consent.domain.values import HOLDER, REPRESENTATIVE, Address, Consent
from services.errors import Reason
from services.formats.canonical import FormatError, Members, loads_canonical
from services.formats.entry import MAX_BODY, Entry, EntryType, OutcomeResult
from services.formats.rights import CATEGORY, Direction, Purpose

TYPES = frozenset({EntryType.EXCHANGE_AUTHORIZED, EntryType.EXCHANGE_DENIED, EntryType.EXCHANGE_REFUSED})
"""The entries that are accesses or attempts."""
HIDDEN_MS = 31 * 86_400_000
"""One month, the longest: after it the patient may see what was hidden from them (R1111-53)."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which accesses, for whom: instants in milliseconds since 1970, `end_ms` excluded; None and empty: all."""

    address: Address
    role: str = HOLDER
    start_ms: int | None = None
    end_ms: int | None = None
    service: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, as the opened body of a decision says it."""

    direction: Direction
    purpose: Purpose
    categories: frozenset[str]
    labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Recorded:
    """An access as the log has it. `asked` and `facts` are None where they were erased, and of refusals, which had none."""

    entry: Entry
    asked: Asked | None = None
    facts: Facts | None = None
    result: OutcomeResult | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """An access as somebody reads it; without `asked` it was a refusal before any decision, or that was erased."""

    time_ms: int
    service: str
    counterparty: str
    asked: Asked | None
    authorized: bool
    reason: Reason | None
    result: OutcomeResult | None
    resources: tuple[str, ...]
    exchange: str


@dataclass(frozen=True, slots=True)
class Sight:
    """What a representative may know: the consents kept from them, by name, and the services whose consents they see."""

    secrets: frozenset[str]
    services: frozenset[str]


def sight_of(role: str, consents: Iterable[tuple[str, Consent]]) -> Sight | None:
    """What somebody in this role sees of a patient with these consents, each under its name; None: everything."""
    if role != REPRESENTATIVE:
        return None
    known = list(consents)
    return Sight(
        frozenset(name for name, consent in known if consent.limits.secret),
        frozenset(consent.service for _, consent in known if not consent.limits.secret),
    )


def read_asked(body: bytes) -> Asked | None:
    """What a decision's body says was asked; None for the body of a refusal. Raises: FormatError."""
    members = Members(loads_canonical(body, MAX_BODY), "body")
    if not members.has("query"):
        return None
    query = members.object("query")
    try:
        return Asked(
            Direction(query.text("direction")),
            Purpose(query.text("purpose")),
            frozenset(query.texts("categories", CATEGORY)),
            frozenset(query.texts("labels")),
        )
    except ValueError as error:
        raise error if isinstance(error, FormatError) else FormatError("a query holds an unknown word") from None


def shown(recorded: Recorded, sight: Sight | None, now_ms: int) -> Access | None:
    """The access as it is read now; None where it is not."""
    labels = recorded.asked.labels if recorded.asked else frozenset()
    if HIDDEN_FROM_PATIENT in labels and now_ms < recorded.entry.time_ms + HIDDEN_MS:
        return None
    if sight is None:
        return _access(recorded, recorded.entry.reason)
    return _access(recorded, _told(recorded.entry.reason)) if _is_open(recorded, sight) else None


def _access(recorded: Recorded, reason: Reason | None) -> Access:
    entry = recorded.entry
    return Access(
        time_ms=entry.time_ms,
        service=entry.service,
        counterparty=entry.counterparty,
        asked=recorded.asked,
        authorized=entry.type is EntryType.EXCHANGE_AUTHORIZED,
        reason=reason,
        result=recorded.result,
        resources=entry.resources,
        exchange=entry.exchange,
    )


def _is_open(recorded: Recorded, sight: Sight) -> bool:
    entry, facts = recorded.entry, recorded.facts
    if entry.service not in sight.services:
        return False
    if entry.type is EntryType.EXCHANGE_REFUSED:
        return True  # the bundle was refused, whatever the patient consents to; nothing of it is told
    if recorded.asked is None or facts is None or HIDDEN_FROM_REPRESENTATIVES in recorded.asked.labels:
        return False
    verdict = decide(_without(facts, sight), entry.time_ms)
    reason = verdict.reason if isinstance(verdict, Deny) else None
    return (_told(reason), verdict.resources) == (_told(entry.reason), entry.resources)


def _without(facts: Facts, sight: Sight) -> Facts:
    """The facts had there been no secret: without those consents, and without the pairings that only they show."""
    return replace(facts, parties=tuple(_as_known(party, sight) for party in facts.parties))


def _as_known(party: Party, sight: Sight) -> Party:
    left = (
        item
        for item in party.consents
        if not item.limits.secret and item.revision.partition("/revisions/")[0] not in sight.secrets
    )
    return replace(party, consents=tuple(left), paired=party.paired and party.service in sight.services)


def _told(reason: Reason | None) -> Reason | None:
    # Whether the other service is paired with the patient may itself be a secret: either way there is no consent.
    return Reason.CONSENT_MISSING if reason is Reason.NOT_PERMITTED else reason

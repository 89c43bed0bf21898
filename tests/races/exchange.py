"""The model's decision: whether a patient's consents carry an exchange at one instant, and why not.

Knows profile, pairing, state, dates, scope, refusals and quotas. Leaves out what no history here varies: the register,
labels, exceptions, the data's own dates, documents.
"""

from collections.abc import Iterator
from typing import NamedTuple

from services.consent.domain import commands as c
from services.errors import Reason
from tests.races.people import STANDING, Person, Right

PERMIT_S = 5


class Verdict(NamedTuple):
    """Permitted (no `reason`) on `revisions` until before `until_s`; or denied, `revisions` being what came nearest."""

    reason: Reason | None
    told: Reason | None
    revisions: tuple[str, ...] = ()
    until_s: int = 0
    counts: tuple[int, ...] = ()


def judge(person: Person | None, query: c.Query, exchange: str, now_ms: int) -> Verdict:
    """The verdict on one exchange."""
    if person is None or query.service not in person.paired:
        return Verdict(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)
    if person.status != "ACTIVE":
        reason = Reason.PROFILE_SUSPENDED if person.status == "SUSPENDED" else Reason.PROFILE_NOT_OPEN
        return Verdict(reason, reason)
    carriers: list[Right] = []
    for position, (service, direction) in enumerate(_sides(query)):
        found = _carrier(person, service, direction, query, exchange, now_ms)
        if not isinstance(found, Right):
            reason, revisions = found
            return Verdict(reason, Reason.RECIPIENT_NOT_PERMITTED if position else reason, revisions)
        carriers.append(found)
    ends = [end for right in carriers for end in (right.end_ms, right.confirm_ms) if end is not None]
    for side in _sides(query):
        ends += _coming(person, side, query, now_ms)
    return Verdict(
        None,
        None,
        tuple(_revision(right) for right in carriers),
        min(now_ms // 1000 + PERMIT_S, min(ends) // 1000),
        tuple(right.local for right in carriers if right.quota and exchange not in right.used),
    )


def _sides(query: c.Query) -> Iterator[tuple[str, str]]:
    yield query.service, query.direction.value
    if query.counterparty:
        yield query.counterparty, "READ" if query.direction.value == "DEPOSIT" else "DEPOSIT"


def _carrier(
    person: Person, service: str, direction: str, query: c.Query, exchange: str, now_ms: int
) -> Right | tuple[Reason, tuple[str, ...]]:
    if service not in person.paired:
        return Reason.NOT_PERMITTED, ()
    given = sorted((right for right in person.rights.values() if right.service == service), key=lambda it: it.local)
    for right in given:
        if _bites(right, direction, query, now_ms):
            return Reason.EXPLICITLY_DENIED, (_revision(right),)
    nearest: tuple[int, Reason, str] | None = None
    for right in given:
        if right.refuses:
            continue
        failure = _failure(right, direction, query, exchange, now_ms)
        if failure is None:
            return right
        if nearest is None or failure[0] > nearest[0]:
            nearest = *failure, _revision(right)
    return (nearest[1], (nearest[2],)) if nearest else (Reason.CONSENT_MISSING, ())


def _bites(right: Right, direction: str, query: c.Query, now_ms: int) -> bool:
    begun = right.start_ms // 1000 <= now_ms // 1000
    return begun and now_ms < right.end_ms and _opposes(right, direction, query)


def _opposes(right: Right, direction: str, query: c.Query) -> bool:
    return (
        right.refuses
        and right.state in STANDING
        and direction in right.scope.directions
        and query.purpose in right.scope.purposes
        and bool(query.categories & right.scope.categories)
    )


def _coming(person: Person, side: tuple[str, str], query: c.Query, now_ms: int) -> Iterator[int]:
    """When refusals begin that do not bite yet: no permit lives beyond that."""
    service, direction = side
    for right in person.rights.values():
        if right.service == service and right.start_ms // 1000 > now_ms // 1000 and _opposes(right, direction, query):
            yield right.start_ms


def _failure(right: Right, direction: str, query: c.Query, exchange: str, now_ms: int) -> tuple[int, Reason] | None:
    """The first thing that is wanting, and how far from the last thing it is: the farther on, the nearer to a right."""
    second, scope = now_ms // 1000, right.scope
    over = right.state == "EXPIRED" or second >= right.end_ms // 1000
    unconfirmed = right.confirm_ms is not None and second >= right.confirm_ms // 1000
    wanting = (
        (Reason.DIRECTION_NOT_GRANTED, direction not in scope.directions),
        (Reason.PURPOSE_NOT_GRANTED, query.purpose not in scope.purposes),
        (Reason.CATEGORY_NOT_GRANTED, not query.categories <= scope.categories),
        (Reason.CONSENT_REVOKED, right.state == "REVOKED"),
        (Reason.CONSENT_ENDED, right.state == "ENDED"),
        (Reason.CONSENT_EXPIRED, over),
        (Reason.CONSENT_SUSPENDED, right.state == "SUSPENDED" or unconfirmed),
        (Reason.CONSENT_NOT_YET_VALID, now_ms < right.start_ms),
        (Reason.QUOTA_EXHAUSTED, _exhausted(right, exchange, now_ms)),
    )
    return next(((place, reason) for place, (reason, wants) in enumerate(wanting) if wants), None)


def _exhausted(right: Right, exchange: str, now_ms: int) -> bool:
    if right.quota is None or exchange in right.used:
        return False
    limit, period_s = right.quota
    if not period_s:
        return len(right.used) >= limit

    def window(time_ms: int) -> int:
        return (time_ms - right.start_ms) // (1000 * period_s)

    return sum(window(time_ms) == window(now_ms) for time_ms in right.used.values()) >= limit


def _revision(right: Right) -> str:
    return f"{right.name}/revisions/{right.revision}"

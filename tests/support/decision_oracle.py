"""What is granted, told atom by atom: sets of (datum, direction, purpose, label, instant), and no rule of `decide`.

Written from the words of the specification alone, over the few categories that the properties draw.
"""

from collections.abc import Iterable
from itertools import product

from services.consent.domain.decision import ConsentFact, Facts, Party
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import Effect
from services.formats.lease import Status
from services.formats.rights import Basis, Direction, Scope
from tests.support.drawn_facts import LABELS

Atom = tuple[str, str, str, str, int]
UNKNOWN = "?"
_TYPES = {"class:10": {"type:11488-4", "type:34112-3"}, "class:42": {"type:57833-6"}}


def data(categories: Iterable[str]) -> set[str]:
    """A class is its types that are drawn here, and a rest that no other category has."""
    return {datum for item in categories for datum in {item} | _TYPES.get(item, set())}


def carries(facts: Facts, now_ms: int, until_ms: int, party: Party, consent: ConsentFact) -> bool:
    """Whether this consent grants this party every atom asked for, at every instant until before `until_ms`."""
    return (
        facts.profile is ProfileStatus.ACTIVE
        and facts.basis is Basis.CONSENT
        and all(facts.documents_match)
        and party.paired
        and party.standing is not None
        and party.standing.status is Status.REFERENCED_WITH_EXCHANGE
        and (not facts.documents_match or _may_hold_ins(party))
        and consent.limits.effect is Effect.PERMIT
        and _left_in_quota(consent)
        and _in_period(consent, facts)
        and _granted(facts, _instants(party, now_ms, until_ms), party, consent)
    )


def _granted(facts: Facts, instants: set[int], party: Party, consent: ConsentFact) -> bool:
    labels = facts.labels or {UNKNOWN}
    asked = set(product(data(facts.categories), [party.direction], [facts.purpose], labels, instants))
    refusals = [item for item in party.consents if item.limits.effect is Effect.DENY]
    refused = set().union(*(_refused(item, instants) for item in refusals))
    allowed = _given(consent, party.direction, instants) & _agreed(party, instants)
    return bool(asked) and asked <= allowed and not asked & refused


def _atoms(scope: Scope, labels: Iterable[str], instants: Iterable[int]) -> set[Atom]:
    return set(product(data(scope.categories), scope.directions, scope.purposes, labels, instants))


def _given(consent: ConsentFact, direction: Direction, instants: set[int]) -> set[Atom]:
    limits = consent.limits
    excepted = {item.removeprefix("label:") for item in limits.exceptions if item.startswith("label:")}
    labels = {*LABELS, UNKNOWN} - excepted - ({UNKNOWN} if excepted else set())
    ends = [consent.end_ms] + [limits.confirm_ms] * (limits.confirm_ms is not None)
    if direction is Direction.READ:
        ends += [limits.erase_ms] * (limits.erase_ms is not None)
        labels -= {"INVISIBLE_PATIENT"}
        labels -= {"INVISIBLE_REPRESENTANTS_LEGAUX"} if limits.confirm_ms is not None else set()
    times = {ms for ms in instants if consent.start_ms <= ms and all(ms < end for end in ends if end is not None)}
    given = _atoms(consent.scope, labels, times) if consent.state is ConsentState.ACTIVE else set()
    return {atom for atom in given if atom[0] not in data(limits.exceptions)}


def _agreed(party: Party, instants: set[int]) -> set[Atom]:
    assert party.standing is not None
    convention = party.standing.convention
    times = {ms for ms in instants if convention.start_ms <= ms < convention.end_ms}
    return _atoms(convention.scope, {*LABELS, UNKNOWN}, times)


def _refused(consent: ConsentFact, instants: set[int]) -> set[Atom]:
    if consent.state in {ConsentState.REVOKED, ConsentState.EXPIRED, ConsentState.ENDED}:
        return set()
    times = {ms for ms in instants if consent.start_ms <= ms < consent.end_ms}
    return _atoms(consent.scope, {*LABELS, UNKNOWN}, times)


def _instants(party: Party, now_ms: int, until_ms: int) -> set[int]:
    """Now, the last one, and those in between at which anything begins or ends: nothing changes at any other."""
    changes = {ms for item in party.consents for ms in (item.start_ms, item.end_ms - 1)}
    return {now_ms, until_ms - 1} | {ms for ms in changes if now_ms <= ms < until_ms}


def _left_in_quota(consent: ConsentFact) -> bool:
    quota = consent.limits.quota
    return consent.counted or quota is None or consent.used in range(quota.limit)


def _in_period(consent: ConsentFact, facts: Facts) -> bool:
    first, last = consent.limits.data_from_ms, consent.limits.data_until_ms
    known = {facts.data_from_ms, facts.data_until_ms} - {None}
    from_there = first is None or all(day is not None and day >= first for day in known | {facts.data_from_ms})
    until_there = last is None or all(day is not None and day < last for day in known | {facts.data_until_ms})
    return from_there and until_there


def _may_hold_ins(party: Party) -> bool:
    assert party.standing is not None
    return party.direction is Direction.DEPOSIT or party.standing.convention.ins_in_documents

"""Facts drawn around a permit: everything in order, other consents beside, and some parts made poorer."""

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import strategies as st

from services.consent.domain.decision import ConsentFact, Facts, Party, Standing
from services.consent.domain.lifecycle import ConsentState, ProfileStatus
from services.consent.domain.terms import Effect, Limits, Quota
from services.formats.lease import Convention, Status
from services.formats.rights import Basis, Direction, Purpose, Scope

NOW_MS = 1_000_500
FAR = 10**9
CATEGORIES = ("class:10", "class:42", "type:11488-4", "type:34112-3", "type:57833-6", "type:NOWHERE", "measure:8867-4")
LABELS = ("N", "V", "MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")
EXCEPTIONS = ("type:11488-4", "type:57833-6", "type:NOWHERE", "label:V", "label:MASQUE_PS")
FULL = Scope(frozenset(CATEGORIES), frozenset(Direction), frozenset(Purpose))
INSTANTS = st.just(0) | st.integers(NOW_MS - 7000, NOW_MS + 7000) | st.just(FAR)
DATES = st.none() | st.integers(995, 1005)
STANDING = Standing(Status.REFERENCED_WITH_EXCHANGE, Convention(FULL, 0, FAR, "a" * 64, True))
SCOPES = st.just(FULL) | st.builds(
    Scope,
    st.frozensets(st.sampled_from(CATEGORIES)),
    st.frozensets(st.sampled_from(Direction)),
    st.frozensets(st.sampled_from(Purpose)),
)
LIMITS = st.just(Limits()) | st.builds(
    Limits,
    st.sampled_from(Effect),
    st.frozensets(st.sampled_from(EXCEPTIONS), max_size=2),
    st.none() | st.builds(Quota, st.integers(1, 3)),
    DATES,
    DATES,
    st.none() | INSTANTS,
    st.none() | INSTANTS,
    st.booleans(),
)
Change = Callable[[Facts], Facts]


@st.composite
def consents(draw: st.DrawFn, limits: st.SearchStrategy[Limits] = LIMITS) -> ConsentFact:
    start_ms = draw(INSTANTS)
    return ConsentFact(
        f"consents/{draw(st.integers(1, 999))}/revisions/1",
        draw(st.just(ConsentState.ACTIVE) | st.sampled_from(ConsentState)),
        draw(SCOPES),
        start_ms,
        start_ms + draw(st.integers(1, 9000) | st.just(FAR)),
        draw(limits),
        draw(st.integers(0, 3)),
        draw(st.booleans()),
    )


REFUSALS = consents(LIMITS.map(lambda it: replace(it, effect=Effect.DENY)))


@st.composite
def permitted(draw: st.DrawFn) -> Facts:
    """Facts in order, one party or two, where only a consent may still be short of what is asked."""
    directions = draw(st.sampled_from([*permutations(Direction), *permutations(Direction, 1)]))

    def party(direction: Direction) -> Party:
        perfect = ConsentFact(f"consents/{direction}/revisions/1", ConsentState.ACTIVE, FULL, 0, FAR)
        drawn = draw(st.lists(consents(), max_size=2))
        own = (*drawn, perfect) if draw(st.booleans()) else drawn or (perfect,)
        return Party(f"services/{direction.lower()}", direction, STANDING, True, tuple(own))

    return Facts(
        ProfileStatus.ACTIVE,
        tuple(map(party, directions)),
        draw(st.sampled_from(Purpose)),
        draw(st.frozensets(st.sampled_from(CATEGORIES), min_size=1, max_size=2)),
        draw(st.sampled_from([(), (True,)])),
        draw(st.just(frozenset({"N"})) | st.frozensets(st.sampled_from(LABELS), max_size=2)),
        *draw(st.sampled_from([(None, None), (1000, 1000), (1001, 999)]) | st.tuples(DATES, DATES)),
    )


@st.composite
def narrowings(draw: st.DrawFn) -> Change:
    """A change that takes something away from one party or makes what is asked more; none that could give more."""
    place, which = draw(st.integers(0, 1)), draw(st.integers(0, 2))
    change = draw(st.sampled_from([OF_FACTS, OF_A_PARTY, OF_A_CONVENTION, OF_A_CONSENT, OF_LIMITS]))
    members = draw(draw(st.sampled_from(change)))

    def narrow(facts: Facts) -> Facts:
        if change is OF_FACTS:
            return replace(facts, **members(facts))
        parties = [_narrowed(it, change, members, which) if i == place else it for i, it in enumerate(facts.parties)]
        return replace(facts, parties=tuple(parties))

    return narrow


def _narrowed(party: Party, change: list[Any], members: Callable[[Any], dict[str, Any]], which: int) -> Party:
    if change is OF_A_PARTY:
        return replace(party, **members(party))
    if change is OF_A_CONVENTION:
        if party.standing is None:
            return party
        convention = replace(party.standing.convention, **members(party.standing.convention))
        return replace(party, standing=replace(party.standing, convention=convention))

    def narrow(item: ConsentFact) -> ConsentFact:
        # A refusal made smaller would give more.
        if item.limits.effect is Effect.DENY:
            return item
        if change is OF_LIMITS:
            return replace(item, limits=replace(item.limits, **members(item.limits)))
        return replace(item, **members(item))

    consents = tuple(narrow(it) if i == which else it for i, it in enumerate(party.consents))
    return replace(party, consents=consents)


def _poorer(scope: Scope, category: str) -> Scope:
    return replace(scope, categories=scope.categories - {category})


def _lower(one: int | None, other: int) -> int:
    return other if one is None else min(one, other)


def _higher(one: int | None, other: int) -> int:
    return other if one is None else max(one, other)


def _fixed(**members: Any) -> st.SearchStrategy[Callable[[Any], dict[str, Any]]]:
    return st.just(lambda _: members)


_DAYS = st.integers(995, 1005)
_SOME = st.sampled_from(CATEGORIES)
Narrowing = st.SearchStrategy[Callable[[Any], dict[str, Any]]]
OF_FACTS: list[Narrowing] = [
    st.sampled_from([None, *ProfileStatus][:-1])
    .filter(lambda it: it is not ProfileStatus.ACTIVE)
    .map(lambda status: lambda _: {"profile": status}),
    st.sampled_from([Basis.CARE_TEAM, Basis.EMERGENCY]).map(lambda basis: lambda _: {"basis": basis}),
    _fixed(documents_match=(False,)),
    _fixed(categories=frozenset()),
    _fixed(data_from_ms=None),
    _fixed(data_until_ms=None),
    _SOME.map(lambda more: lambda it: {"categories": it.categories and it.categories | {more}}),
    st.sampled_from(LABELS).map(lambda more: lambda it: {"labels": it.labels and it.labels | {more}}),
    _DAYS.map(lambda day: lambda it: {"data_from_ms": it.data_from_ms and min(it.data_from_ms, day)}),
    _DAYS.map(lambda day: lambda it: {"data_until_ms": it.data_until_ms and max(it.data_until_ms, day)}),
]
OF_A_PARTY: list[Narrowing] = [
    _fixed(paired=False),
    _fixed(standing=None),
    st.sampled_from(Status).map(
        lambda status: (
            lambda it: (
                {"standing": it.standing and replace(it.standing, status=status)}
                if status is not Status.REFERENCED_WITH_EXCHANGE
                else {}
            )
        )
    ),
    REFUSALS.map(lambda refusal: lambda it: {"consents": (*it.consents, refusal)}),
    _fixed(consents=()),
]
OF_A_CONVENTION: list[Narrowing] = [
    _fixed(ins_in_documents=False),
    _SOME.map(lambda less: lambda it: {"scope": _poorer(it.scope, less)}),
    INSTANTS.map(lambda ms: lambda it: {"start_ms": max(it.start_ms, ms)}),
    INSTANTS.map(lambda ms: lambda it: {"end_ms": min(it.end_ms, ms)}),
]
OF_A_CONSENT: list[Narrowing] = [
    _SOME.map(lambda less: lambda it: {"scope": _poorer(it.scope, less)}),
    st.sampled_from(Direction).map(
        lambda one: lambda it: {"scope": replace(it.scope, directions=frozenset({one}) & it.scope.directions)}
    ),
    st.sampled_from(Purpose).map(
        lambda one: lambda it: {"scope": replace(it.scope, purposes=it.scope.purposes - {one})}
    ),
    st.sampled_from(ConsentState)
    .filter(lambda it: it is not ConsentState.ACTIVE)
    .map(lambda state: lambda _: {"state": state}),
    INSTANTS.map(lambda ms: lambda it: {"start_ms": max(it.start_ms, ms)}),
    INSTANTS.map(lambda ms: lambda it: {"end_ms": min(it.end_ms, ms)}),
    st.just(lambda it: {"used": it.used + 1, "counted": False}),
]
OF_LIMITS: list[Narrowing] = [
    _fixed(effect=Effect.DENY),
    _fixed(quota=Quota(1)),
    st.sampled_from(EXCEPTIONS).map(lambda more: lambda it: {"exceptions": it.exceptions | {more}}),
    INSTANTS.map(lambda ms: lambda it: {"confirm_ms": _lower(it.confirm_ms, ms)}),
    INSTANTS.map(lambda ms: lambda it: {"erase_ms": _lower(it.erase_ms, ms)}),
    _DAYS.map(lambda day: lambda it: {"data_from_ms": _higher(it.data_from_ms, day)}),
    _DAYS.map(lambda day: lambda it: {"data_until_ms": _lower(it.data_until_ms, day)}),
]


@st.composite
def any_facts(draw: st.DrawFn) -> Facts:
    """Facts in order, up to two parts of which were then made poorer."""
    facts = draw(permitted())
    for change in draw(st.lists(narrowings(), max_size=2)):
        facts = change(facts)
    return facts

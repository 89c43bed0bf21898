"""Whatever the facts: a permit is covered in every dimension by every party's consent and convention, and nothing raises."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.decision import (
    ConsentFact,
    ConsentState,
    Deny,
    Facts,
    Party,
    Permit,
    ProfileStatus,
    Standing,
    decide,
)
from services.errors import Reason
from services.formats.lease import Convention, Status
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Direction, Purpose, Scope

NOW_MS = 1_000_500
CATEGORIES = ("class:10", "class:11", "class:42")
INSTANTS = st.one_of(st.just(0), st.integers(NOW_MS - 7000, NOW_MS + 7000), st.just(10**9))
STARTS, ENDS = st.just(0) | st.just(0) | INSTANTS, st.just(10**9) | st.just(10**9) | INSTANTS
FULL = Scope(frozenset(CATEGORIES), frozenset(Direction), frozenset(Purpose))


def mostly(value: object, other: object) -> st.SearchStrategy[object]:
    """The value that lets a permit through, four times in five."""
    return st.sampled_from([value] * 4 + [other])


SCOPES = st.just(FULL) | st.builds(
    Scope,
    st.frozensets(st.sampled_from(CATEGORIES), min_size=1) | st.just(frozenset(CATEGORIES)),
    st.just(frozenset(Direction)) | st.frozensets(st.sampled_from(Direction)),
    st.just(frozenset(Purpose)) | st.frozensets(st.sampled_from(Purpose)),
)
CONVENTIONS = st.builds(Convention, SCOPES, STARTS, ENDS, st.just("a" * 64), st.booleans())
CONSENTS = st.builds(
    ConsentFact,
    st.integers(1, 99).map(lambda number: f"consents/{number}/revisions/1"),
    mostly(ConsentState.ACTIVE, ConsentState.REVOKED),
    SCOPES,
    STARTS,
    ENDS,
)
STANDINGS = st.builds(
    Standing, mostly(Status.REFERENCED_WITH_EXCHANGE, Status.SUSPENDED) | st.sampled_from(Status), CONVENTIONS
)
PARTIES = st.builds(
    Party,
    st.sampled_from(["services/lumen", "services/carnet"]),
    st.sampled_from(Direction),
    STANDINGS | STANDINGS | st.none(),
    mostly(True, False),
    st.lists(CONSENTS, max_size=3).map(tuple),
)
FACTS = st.builds(
    Facts,
    mostly(ProfileStatus.OPEN, None),
    st.lists(PARTIES, max_size=2).map(tuple),
    st.sampled_from(Purpose),
    st.frozensets(st.sampled_from(CATEGORIES), max_size=2),
    st.lists(mostly(True, False), max_size=2).map(tuple),
)


def permitted_facts(scopes: st.SearchStrategy[Scope]) -> st.SearchStrategy[Facts]:
    """Facts that differ from permitted ones, if at all, in scopes: two parties, each with one consent."""

    def party(direction: Direction, convention: Scope, consent: Scope) -> Party:
        standing = Standing(Status.REFERENCED_WITH_EXCHANGE, Convention(convention, 0, 10**9, "a" * 64, True))
        fact = ConsentFact(f"consents/{direction}/revisions/1", ConsentState.ACTIVE, consent, 0, 10**9)
        return Party(f"services/{direction.lower()}", direction, standing, True, (fact,))

    parties = st.tuples(
        st.builds(party, st.just(Direction.DEPOSIT), scopes, scopes),
        st.builds(party, st.just(Direction.READ), scopes, scopes),
    )
    asked = st.frozensets(st.sampled_from(CATEGORIES), min_size=1)
    return st.builds(Facts, st.just(ProfileStatus.OPEN), parties, st.sampled_from(Purpose), asked, st.just((True,)))


@st.composite
def near(draw: st.DrawFn) -> Facts:
    """Permitted facts but for one part of one party, which is drawn from all there are."""
    facts, other = draw(permitted_facts(st.just(FULL))), draw(PARTIES)
    parties, position = list(facts.parties), draw(st.integers(0, 1))
    name = draw(st.sampled_from(["standing", "paired", "consents"]))
    parties[position] = replace(parties[position], **{name: getattr(other, name)})
    matches = draw(st.sampled_from([(), (True,), (True, True), (True, False)]))
    return replace(facts, parties=tuple(parties), documents_match=matches)


@settings(max_examples=300, deadline=None)
@given(FACTS | near(), INSTANTS)
def test_a_decision_is_always_a_permit_or_a_denial_with_both_reasons(facts: Facts, now_ms: int) -> None:
    verdict = decide(facts, now_ms)
    assert isinstance(verdict, (Permit, Deny))
    if isinstance(verdict, Deny):
        stranger = facts.profile is None or not facts.parties or not facts.parties[0].paired
        assert (verdict.reason is Reason.NOT_PERMITTED and verdict.told is Reason.NOT_PERMITTED) or not stranger
        assert verdict.told in (verdict.reason, Reason.RECIPIENT_NOT_PERMITTED)


@settings(max_examples=300, deadline=None)
@given(near() | permitted_facts(SCOPES), st.just(NOW_MS) | INSTANTS)
def test_a_permit_is_covered_in_every_dimension_by_every_party(facts: Facts, now_ms: int) -> None:
    verdict = decide(facts, now_ms)
    if isinstance(verdict, Deny):
        return
    assert facts.profile is ProfileStatus.OPEN
    assert facts.categories
    assert all(facts.documents_match)
    assert len(verdict.resources) == len(facts.parties) > 0
    assert now_ms // 1000 < verdict.until_s <= now_ms // 1000 + PERMIT_LIFE_S
    for party, revision in zip(facts.parties, verdict.resources, strict=True):
        assert party.paired
        assert party.standing is not None
        assert party.standing.status is Status.REFERENCED_WITH_EXCHANGE
        asked = Scope(facts.categories, frozenset({party.direction}), frozenset({facts.purpose}))
        convention = party.standing.convention
        assert asked.within(convention.scope)
        assert convention.start_ms <= now_ms
        assert verdict.until_s * 1000 <= convention.end_ms
        assert any(_grounds(item, asked, now_ms, verdict) for item in party.consents if item.revision == revision)
        if facts.documents_match and party.direction is Direction.READ:
            assert convention.ins_in_documents


def test_the_facts_drawn_here_permit_now_and_then() -> None:
    """Else the property above would hold of nothing."""
    permitted: list[Party] = []

    @settings(max_examples=300, derandomize=True, database=None, deadline=None)
    @given(near() | permitted_facts(SCOPES))
    def draw(facts: Facts) -> None:
        if isinstance(decide(facts, NOW_MS), Permit):
            permitted.extend(facts.parties)

    draw()
    assert sum(len(party.consents) > 1 for party in permitted) > 3
    assert sum(_scopes(party) != {FULL} for party in permitted) > 3


def _scopes(party: Party) -> set[Scope]:
    conventions = {party.standing.convention.scope} if party.standing else set()
    return conventions | {item.scope for item in party.consents}


def _grounds(consent: ConsentFact, asked: Scope, now_ms: int, verdict: Permit) -> bool:
    in_time = consent.start_ms <= now_ms and verdict.until_s * 1000 <= consent.end_ms
    return consent.state is ConsentState.ACTIVE and asked.within(consent.scope) and in_time


@settings(max_examples=300, deadline=None)
@given(permitted_facts(SCOPES), st.sampled_from(CATEGORIES), st.sampled_from(Purpose))
def test_asking_for_more_than_any_party_may_is_denied(facts: Facts, category: str, purpose: Purpose) -> None:
    """Widen category or purpose, turn a direction round: denied unless every consent and convention covers it too."""
    turned = tuple(replace(party, direction=_other(party.direction)) for party in facts.parties)
    for wider in (
        replace(facts, categories=facts.categories | {category}),
        replace(facts, purpose=purpose),
        replace(facts, parties=turned),
    ):
        covered = all(_covers(party, wider) for party in wider.parties)
        assert isinstance(decide(wider, NOW_MS), Permit) == covered


def _covers(party: Party, facts: Facts) -> bool:
    assert party.standing is not None
    asked = Scope(facts.categories, frozenset({party.direction}), frozenset({facts.purpose}))
    scopes = [party.standing.convention.scope, *(item.scope for item in party.consents)]
    return all(asked.within(scope) for scope in scopes)


def _other(direction: Direction) -> Direction:
    return Direction.READ if direction is Direction.DEPOSIT else Direction.DEPOSIT


@settings(max_examples=300, deadline=None)
@given(permitted_facts(st.just(FULL)), PARTIES)
def test_another_recipient_needs_a_right_of_its_own(facts: Facts, recipient: Party) -> None:
    """The sender's right says nothing of who receives: the recipient's own facts decide."""
    recipient = replace(recipient, direction=Direction.READ)
    alone = replace(facts, parties=(replace(recipient, paired=True),))
    permitted = isinstance(decide(facts, NOW_MS), Permit)
    assert permitted
    verdict = decide(replace(facts, parties=(facts.parties[0], recipient)), NOW_MS)
    assert isinstance(verdict, Permit) == (recipient.paired and isinstance(decide(alone, NOW_MS), Permit))


@settings(max_examples=300, deadline=None)
@given(FACTS | near(), st.just(NOW_MS) | INSTANTS)
def test_taking_anything_away_never_turns_a_denial_into_a_permit(facts: Facts, now_ms: int) -> None:
    if isinstance(decide(facts, now_ms), Permit):
        return
    for position, party in enumerate(facts.parties):
        for poorer in (
            replace(party, consents=party.consents[1:]),
            replace(party, consents=()),
            replace(party, paired=False),
            replace(party, standing=None),
        ):
            parties = (*facts.parties[:position], poorer, *facts.parties[position + 1 :])
            assert isinstance(decide(replace(facts, parties=parties), now_ms), Deny)

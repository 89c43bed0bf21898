"""Whatever the facts: a permit is granted atom by atom by every party's consent and convention, and nothing raises."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.consent.domain.decision import Deny, Facts, Party, Permit, decide, resting_on
from services.consent.domain.explain import Step, explain
from services.errors import Reason
from services.formats.permit import PERMIT_LIFE_S
from services.formats.rights import Direction
from tests.support.decision_oracle import carries
from tests.support.drawn_facts import FAR, INSTANTS, NOW_MS, any_facts, narrowings

NOWS = st.just(NOW_MS) | INSTANTS
AFTER_ONE_S_OWN = {Reason.RECIPIENT_NOT_PERMITTED, Reason.INS_NOT_ALLOWED, Reason.PATIENT_MISMATCH}


def is_permit(facts: Facts, now_ms: int) -> bool:
    return isinstance(decide(facts, now_ms), Permit)


def _is_stranger(facts: Facts) -> bool:
    return facts.profile is None or not facts.parties or not facts.parties[0].paired


@settings(max_examples=200)
@given(any_facts(), NOWS)
def test_a_permit_is_granted_atom_by_atom_by_the_consents_it_names_until_its_end(facts: Facts, now_ms: int) -> None:
    verdict = decide(facts, now_ms)
    if isinstance(verdict, Deny):
        return
    assert now_ms // 1000 < verdict.until_s <= now_ms // 1000 + PERMIT_LIFE_S
    assert len(verdict.resources) == len(facts.parties) > 0
    for party, revision in zip(facts.parties, verdict.resources, strict=True):
        named = [item for item in party.consents if item.revision == revision]
        assert any(carries(facts, now_ms, verdict.until_s * 1000, party, item) for item in named)


@settings(max_examples=200)
@given(any_facts(), NOWS)
def test_what_is_granted_until_the_next_second_is_permitted_and_nothing_else(facts: Facts, now_ms: int) -> None:
    next_ms = (now_ms // 1000 + 1) * 1000

    def carried(party: Party) -> bool:
        return any(carries(facts, now_ms, next_ms, party, item) for item in party.consents)

    assert is_permit(facts, now_ms) == (bool(facts.parties) and all(map(carried, facts.parties)))


@settings(max_examples=200)
@given(any_facts(), narrowings(), NOWS)
def test_taking_anything_away_never_turns_a_denial_into_a_permit(
    facts: Facts, narrow: Callable[[Facts], Facts], now_ms: int
) -> None:
    assert is_permit(facts, now_ms) or not is_permit(narrow(facts), now_ms)


@settings(max_examples=200)
@given(any_facts(), NOWS, st.integers(0, 1))
def test_resting_on_fewer_consents_never_turns_a_denial_into_a_permit(facts: Facts, now_ms: int, places: int) -> None:
    revisions = frozenset(item.revision for party in facts.parties for item in party.consents[:places])
    resting = decide(resting_on(facts, revisions), now_ms)
    if isinstance(resting, Permit):
        assert is_permit(facts, now_ms)
        assert revisions.issuperset(resting.resources)


@settings(max_examples=200)
@given(any_facts() | st.builds(replace, any_facts(), parties=st.just(())), st.integers(-FAR, FAR) | NOWS)
def test_a_decision_is_always_a_permit_or_a_denial_with_both_reasons(facts: Facts, now_ms: int) -> None:
    verdict = decide(facts, now_ms)
    if isinstance(verdict, Permit):
        return
    if _is_stranger(facts):
        assert verdict == Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)
    else:
        masked = verdict.reason is Reason.LABEL_EXCLUDED and facts.parties[0].direction is Direction.READ
        own = Reason.DATA_EXCLUDED if masked else verdict.reason
        assert verdict.told in (own, Reason.RECIPIENT_NOT_PERMITTED)
        assert (verdict.told is Reason.NOT_PERMITTED) is False


@settings(max_examples=200)
@given(any_facts(), NOWS, st.integers(0, 2))
def test_an_explanation_agrees_with_the_decision(facts: Facts, now_ms: int, side: int) -> None:
    """Its verdict is the decision's, what is told is among what fails, and of a permit nothing but consents may fail."""
    explanation = explain(facts, now_ms, side)
    failing = {step.reason for step in explanation.steps if not step.holds}
    if side == 0:
        assert explanation.verdict == decide(facts, now_ms)
    elif side < len(facts.parties):
        assert isinstance(explanation.verdict, Permit) == is_permit(facts, now_ms)
    if isinstance(explanation.verdict, Deny):
        assert explanation.verdict.told in failing
    else:
        assert all(step.holds or step.resource for step in explanation.steps)


@settings(max_examples=200)
@given(any_facts(), NOWS, st.integers(0, 1))
def test_an_explanation_names_no_consent_of_the_other_side_and_tells_a_stranger_nothing(
    facts: Facts, now_ms: int, side: int
) -> None:
    steps = explain(facts, now_ms, side).steps
    own = facts.parties[side] if side < len(facts.parties) else None
    if own is None or not own.paired or facts.profile is None:
        assert [(step.reason, step.holds, step.resource) for step in steps] == [(Reason.NOT_PERMITTED, False, "")]
        return
    assert {step.resource for step in steps} <= {"", *(item.revision for item in own.consents)}
    bare = tuple(it if it is own else replace(it, consents=(), standing=None, paired=False) for it in facts.parties)
    told = explain(replace(facts, parties=bare), now_ms, side).steps
    assert _own(told) == _own(steps)


def _own(steps: tuple[Step, ...]) -> list[Step]:
    return [step for step in steps if step.reason not in AFTER_ONE_S_OWN]


def test_the_facts_drawn_here_permit_often_and_are_denied_for_many_reasons() -> None:
    """Else the properties above would hold of nothing."""
    seen: Counter[Reason | None] = Counter()

    @settings(max_examples=600, derandomize=True, database=None)
    @given(any_facts())
    def draw(facts: Facts) -> None:
        verdict = decide(facts, NOW_MS)
        seen[verdict.reason if isinstance(verdict, Deny) else None] += 1

    draw()
    assert seen[None] > 60
    assert len(seen) > 15, seen

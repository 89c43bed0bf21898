"""What a permit says: when it ends, whose quota it uses, and when what was received must be erased."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.consent.domain.decision import Permit, decide
from services.consent.domain.terms import Quota
from services.formats.permit import PERMIT_LIFE_S
from tests.support.decided import (
    CONSENT,
    FIRST,
    NOW_MS,
    NOW_S,
    READER,
    SECOND,
    Change,
    consent,
    convention,
    facts,
    limits,
    refusal,
    until,
)


@pytest.mark.parametrize("change", [lambda ms: consent(end_ms=ms), lambda ms: convention(end_ms=ms)])
@pytest.mark.parametrize("position", [0, 1])
def test_a_permit_ends_with_the_earliest_right_it_rests_on(change: Callable[[int], Change], position: int) -> None:
    for seconds in range(1, 8):
        parties = [FIRST, SECOND]
        parties[position] = change((NOW_S + seconds) * 1000 + 999)(parties[position])
        assert until(facts(*parties)) == NOW_S + min(seconds, PERMIT_LIFE_S)


def test_a_permit_ends_before_a_representative_s_consent_does() -> None:
    """It ends with the holder's majority, unless they confirm it."""
    for position in (0, 1):
        parties = [FIRST, SECOND]
        parties[position] = limits(confirm_ms=NOW_MS + 3000)(parties[position])
        assert until(facts(*parties)) == NOW_S + 3


def test_a_permit_ends_before_a_refusal_starts() -> None:
    for position in (0, 1):
        parties = [FIRST, SECOND]
        coming = refusal("class:10", start_ms=NOW_MS + 3000)
        parties[position] = replace(parties[position], consents=(*parties[position].consents, coming))
        assert until(facts(*parties)) == NOW_S + 3


def test_a_permit_does_not_end_for_a_refusal_of_something_else() -> None:
    coming = refusal("class:42", start_ms=NOW_MS + 3000)
    assert until(facts(replace(FIRST, consents=(CONSENT, coming)))) == NOW_S + PERMIT_LIFE_S
    past = refusal("class:10", start_ms=NOW_MS - 4000, end_ms=NOW_MS)
    assert until(facts(replace(FIRST, consents=(CONSENT, past)))) == NOW_S + PERMIT_LIFE_S


def test_a_permit_names_the_quotas_it_uses_up_once() -> None:
    counted = facts(limits(quota=Quota(1))(FIRST), consent(counted=True)(limits(quota=Quota(1))(SECOND)))
    verdict = decide(counted, NOW_MS)
    assert isinstance(verdict, Permit)
    assert verdict.counts == ("consents/1/revisions/1",)


def test_a_permit_names_the_earliest_duty_to_erase_of_who_receives() -> None:
    """What the sender received is another matter."""
    later = NOW_MS + 10**9
    sent = facts(limits(erase_ms=later)(FIRST), limits(erase_ms=later + 5)(SECOND))
    verdicts = [decide(asked, NOW_MS) for asked in (sent, facts(limits(erase_ms=later)(FIRST), SECOND))]
    assert [item.erase_ms if isinstance(item, Permit) else item for item in verdicts] == [later + 5, None]


def test_a_permit_lives_five_seconds_and_counts_from_the_whole_second() -> None:
    assert [until(facts(), NOW_S * 1000 + ms) for ms in (0, 999)] == [NOW_S + 5] * 2


def test_a_permit_to_receive_ends_before_the_duty_to_erase() -> None:
    assert until(facts(limits(erase_ms=NOW_MS + 3000)(READER))) == NOW_S + 3
    assert until(facts(limits(erase_ms=NOW_MS + 3000)(FIRST))) == NOW_S + 5


def test_of_two_that_receive_the_earlier_duty_to_erase_is_named() -> None:
    later = NOW_MS + 10**9
    first, second = limits(erase_ms=later)(READER), limits(erase_ms=later + 5)(SECOND)
    verdicts = [decide(facts(*both), NOW_MS) for both in ((first, second), (READER, second))]
    assert [item.erase_ms if isinstance(item, Permit) else item for item in verdicts] == [later, later + 5]


def test_a_refusal_that_ends_where_it_starts_shortens_nothing() -> None:
    never = refusal("class:10", start_ms=NOW_MS, end_ms=NOW_MS)
    assert until(facts(replace(FIRST, consents=(CONSENT, never)))) == NOW_S + PERMIT_LIFE_S
    backwards = refusal("class:10", start_ms=NOW_MS + 1, end_ms=NOW_MS)
    assert until(facts(replace(FIRST, consents=(CONSENT, backwards)))) == NOW_S + PERMIT_LIFE_S

"""Where profiles and consents may go: every pair of states, and nothing but what is listed here."""

import pytest

from services.consent.domain.lifecycle import FINAL, ConsentState, ProfileStatus, consent_moves, profile_moves
from services.errors import AccordError, Reason

PROFILE_MOVES = {
    ("INFORMED", "OPENED"),  # nobody refused in six weeks
    ("INFORMED", "ACTIVE"),
    ("INFORMED", "CLOSED"),  # refused
    ("OPENED", "ACTIVE"),  # activated by the patient
    ("OPENED", "CLOSED"),
    ("ACTIVE", "SUSPENDED"),
    ("ACTIVE", "CLOSED"),
    ("SUSPENDED", "ACTIVE"),
    ("SUSPENDED", "CLOSED"),
    ("CLOSED", "ACTIVE"),  # reopened: no consent revives
    ("CLOSED", "ERASED"),
}
CONSENT_MOVES = {
    (old, new)
    for old in ("ACTIVE", "SUSPENDED")
    for new in ("ACTIVE", "SUSPENDED", "REVOKED", "EXPIRED", "ENDED")
    if old != new
}


@pytest.mark.parametrize("new", ProfileStatus)
@pytest.mark.parametrize("old", ProfileStatus)
def test_a_profile_moves_only_as_listed(old: ProfileStatus, new: ProfileStatus) -> None:
    """Staying where it is changes nothing and is no error."""
    if old is new or (old.value, new.value) in PROFILE_MOVES:
        assert profile_moves(old, new) == (old is not new)
        return
    with pytest.raises(AccordError, match=f"^STATE_CONFLICT: what is {old} cannot become {new}$") as raised:
        profile_moves(old, new)
    assert raised.value.reason is Reason.STATE_CONFLICT


@pytest.mark.parametrize("new", ConsentState)
@pytest.mark.parametrize("old", ConsentState)
def test_a_consent_moves_only_as_listed(old: ConsentState, new: ConsentState) -> None:
    """Staying where it is changes nothing and is no error."""
    if old is new or (old.value, new.value) in CONSENT_MOVES:
        assert consent_moves(old, new) == (old is not new)
        return
    with pytest.raises(AccordError, match=f"^STATE_CONFLICT: what is {old} cannot become {new}$") as raised:
        consent_moves(old, new)
    assert raised.value.reason is Reason.STATE_CONFLICT


def test_no_final_consent_moves_anywhere() -> None:
    assert {old for old in ConsentState if not any((old.value, new.value) in CONSENT_MOVES for new in ConsentState)}
    assert set(FINAL) == {ConsentState.REVOKED, ConsentState.EXPIRED, ConsentState.ENDED}


def test_the_words_for_states_are_the_ones_that_are_stored() -> None:
    """They stand in rows and in the bodies behind the log: another word would be another state."""
    assert [it.value for it in ProfileStatus] == ["INFORMED", "OPENED", "ACTIVE", "SUSPENDED", "CLOSED", "ERASED"]
    assert [it.value for it in ConsentState] == ["ACTIVE", "SUSPENDED", "REVOKED", "EXPIRED", "ENDED"]

"""Where profiles and consents may go: every pair of states, and nothing but what is listed here."""

from contextlib import suppress

import pytest

from services.consent.domain.lifecycle import (
    FINAL,
    PROFILE_MOVES,
    ConsentState,
    ProfileStatus,
    consent_moves,
    profile_after,
)
from services.errors import AccordError, Reason
from services.formats.entry import EntryType

MOVED = {
    ("profile.informed", None): "INFORMED",
    ("profile.opened", None): "ACTIVE",  # at the portal, by who uses it
    ("profile.opened", "INFORMED"): "OPENED",  # nobody refused in six weeks
    ("profile.activated", "INFORMED"): "ACTIVE",
    ("profile.activated", "OPENED"): "ACTIVE",
    ("profile.suspended", "ACTIVE"): "SUSPENDED",
    ("profile.suspended", "CLOSED"): "BARRED",
    ("profile.resumed", "SUSPENDED"): "ACTIVE",
    ("profile.resumed", "BARRED"): "CLOSED",
    ("profile.closed", "INFORMED"): "CLOSED",  # refused
    ("profile.closed", "OPENED"): "CLOSED",
    ("profile.closed", "ACTIVE"): "CLOSED",
    ("profile.closed", "SUSPENDED"): "BARRED",
    ("profile.reopened", "CLOSED"): "ACTIVE",  # no consent revives
    ("profile.reopened", "BARRED"): "SUSPENDED",
    ("patient.erased", "CLOSED"): "ERASED",
    ("patient.erased", "BARRED"): "ERASED",
}
STAY = {
    "profile.activated": {"ACTIVE"},
    "profile.suspended": {"SUSPENDED", "BARRED"},
    "profile.resumed": {"ACTIVE", "CLOSED"},
    "profile.closed": {"CLOSED", "BARRED"},
    "profile.reopened": {"ACTIVE", "SUSPENDED"},
    "patient.erased": {"ERASED"},
}
CONSENT_MOVES = {
    (old, new)
    for old in ("ACTIVE", "SUSPENDED")
    for new in ("ACTIVE", "SUSPENDED", "REVOKED", "EXPIRED", "ENDED")
    if old != new
}


@pytest.mark.parametrize("move", sorted(PROFILE_MOVES))
@pytest.mark.parametrize("old", [None, *ProfileStatus])
def test_a_profile_moves_only_as_listed(old: ProfileStatus | None, move: EntryType) -> None:
    """A repeat leaves it where it is and is no error."""
    expected = old if old in STAY.get(move, ()) else MOVED.get((move.value, old))
    if expected is not None:
        assert profile_after(old, move) == expected
        return
    with pytest.raises(AccordError, match=f"^STATE_CONFLICT: {move} cannot follow on a profile that is") as raised:
        profile_after(old, move)
    assert raised.value.reason is Reason.STATE_CONFLICT


def test_no_holder_escapes_a_suspension() -> None:
    """Whatever the holder does with it, in whatever order, it takes part in exchanges only after the platform's own move."""
    reached, left = set[ProfileStatus](), [ProfileStatus.SUSPENDED]
    while left:
        status = left.pop()
        for move in (EntryType.PROFILE_ACTIVATED, EntryType.PROFILE_CLOSED, EntryType.PROFILE_REOPENED):
            with suppress(AccordError):
                after = profile_after(status, move)
                left += [after] if after not in reached else []
                reached.add(after)
    assert reached == {ProfileStatus.SUSPENDED, ProfileStatus.BARRED}


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
    statuses = ["INFORMED", "OPENED", "ACTIVE", "SUSPENDED", "CLOSED", "BARRED", "ERASED"]
    assert [it.value for it in ProfileStatus] == statuses
    assert [it.value for it in ConsentState] == ["ACTIVE", "SUSPENDED", "REVOKED", "EXPIRED", "ENDED"]

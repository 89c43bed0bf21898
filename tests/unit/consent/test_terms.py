"""A consent's limits: one text for each, nothing else read, and the windows of a quota."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.consent.domain.terms import MAX_PERIOD_S, MAX_QUOTA, NO_LIMITS, Effect, Limits, Quota
from services.formats.canonical import FormatError, Members
from services.formats.times import text_of

INSTANTS = st.none() | st.integers(0, 10**13)
LIMITS = st.builds(
    Limits,
    st.sampled_from(Effect),
    st.frozensets(st.sampled_from(["type:11488-4", "type:IMG-KOS", "label:V", "label:MASQUE_PS"])),
    st.none() | st.builds(Quota, st.integers(1, MAX_QUOTA), st.integers(0, MAX_PERIOD_S)),
    INSTANTS,
    INSTANTS,
    INSTANTS,
    INSTANTS,
    st.booleans(),
)


@given(LIMITS)
def test_limits_read_back_from_their_json(limits: Limits) -> None:
    assert Limits.read(Members(limits.to_json(), "limits")) == limits


def test_no_limits_say_nothing_and_nothing_is_no_limits() -> None:
    assert NO_LIMITS.to_json() == {}
    assert Limits.read(Members({}, "limits")) == NO_LIMITS == Limits(Effect.PERMIT)


def test_every_limit_has_its_member() -> None:
    """The names stand in the bodies behind the log."""
    limits = Limits(Effect.DENY, frozenset({"type:REMB", "label:R"}), Quota(3, 60), 1, 2, 3, 4, True)
    assert limits.to_json() == {
        "effect": "DENY",
        "exceptions": ["label:R", "type:REMB"],
        "quota": {"limit": 3, "period": 60},
        "data_from": text_of(1),
        "data_until": text_of(2),
        "erase": text_of(3),
        "confirm": text_of(4),
        "secret": True,
    }
    in_no_order: Any = ("type:REMB", "label:V", "label:R")
    assert Limits(exceptions=in_no_order).to_json() == {"exceptions": ["label:R", "label:V", "type:REMB"]}
    assert [it.value for it in Effect] == ["PERMIT", "DENY"]
    assert Limits(data_from_ms=0).to_json() == {"data_from": text_of(0)}


@pytest.mark.parametrize(
    "quota",
    [
        {"limit": 1, "period": 0},
        {"limit": MAX_QUOTA, "period": MAX_PERIOD_S},
    ],
)
def test_a_quota_within_its_range_is_read(quota: dict[str, int]) -> None:
    assert Limits.read(Members({"quota": quota}, "limits")).quota == Quota(quota["limit"], quota["period"])


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("quota", {"limit": 0, "period": 0}, "a quota is out of range"),
        ("quota", {"limit": 1_000_001, "period": 0}, "a quota is out of range"),
        ("quota", {"limit": 1, "period": 366 * 86_400 + 1}, "a quota is out of range"),
        ("quota", {"limit": 1, "period": -1}, "limits.quota.period is not a non-negative integer"),
        ("quota", {"limit": 1}, "limits.quota.period is missing"),
        ("quota", {"limit": 1, "period": 0, "more": 1}, "limits.quota has an unknown member"),
        ("quota", None, "limits.quota is not an object"),
        ("effect", "ALLOW", "an unknown effect"),
        ("effect", "deny", "an unknown effect"),
        ("effect", 1, "limits.effect is not a string"),
        ("exceptions", ["class:10"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["measure:8867-4"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["type:ab"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["type:" + "a" * 21], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["type:é12"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["label:v"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["label:"], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["label:" + "A" * 41], "limits.exceptions.item has a wrong form"),
        ("exceptions", ["label:V\n"], "limits.exceptions.item has a wrong form"),
        ("data_from", "2026-01-01", "not an RFC 3339 instant"),
        ("data_until", 5, "limits.data_until is not a string"),
        ("erase", "2026-01-01T00:00:00Z", "not an RFC 3339 instant"),
        ("confirm", "soon", "not an RFC 3339 instant"),
        ("secret", "true", "limits.secret is not a boolean"),
        ("secret", 1, "limits.secret is not a boolean"),
        ("purpose", "CARE", "limits has an unknown member"),
    ],
)
def test_what_is_no_limit_is_refused(member: str, value: Any, said: str) -> None:
    with pytest.raises(FormatError, match=f"^{said}"):
        Limits.read(Members({member: value}, "limits"))


@pytest.mark.parametrize("item", ["type:abc", "type:" + "a" * 20, "type:A_z-9", "label:V", "label:" + "A_" * 20])
def test_an_exception_is_a_type_or_a_label(item: str) -> None:
    assert Limits.read(Members({"exceptions": [item]}, "limits")).exceptions == {item}


def test_a_quota_s_bounds_are_those_that_are_published() -> None:
    assert (MAX_QUOTA, MAX_PERIOD_S) == (1_000_000, 31_622_400)


@pytest.mark.parametrize(
    ("period_s", "now_ms", "window"),
    [
        (0, 500, 500),
        (0, 10**12, 500),
        (60, 500, 500),
        (60, 60_499, 500),
        (60, 60_500, 60_500),
        (60, 120_499, 60_500),
        (1, 2499, 1500),
    ],
)
def test_the_windows_of_a_quota_follow_one_another_from_the_consent_s_start(
    period_s: int, now_ms: int, window: int
) -> None:
    assert Quota(1, period_s).window(500, now_ms) == window


def test_a_quota_without_period_holds_for_a_consent_s_whole_life() -> None:
    assert Quota(1).window(500, 10**12) == 500

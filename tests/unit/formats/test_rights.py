"""Scopes: what covers what, and the one form they are read from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formats.canonical import FormatError, Members
from services.formats.rights import ORGANIZATION_NAME, SERVICE_NAME, Direction, Purpose, Scope

CATEGORIES = ("class:10", "class:11", "class:42")
SCOPES = st.builds(
    Scope,
    st.frozensets(st.sampled_from(CATEGORIES)),
    st.frozensets(st.sampled_from(Direction)),
    st.frozensets(st.sampled_from(Purpose)),
)


@given(SCOPES)
def test_a_scope_reads_back_from_its_json(scope: Scope) -> None:
    members = Members(scope.to_json(), "scope")
    assert Scope.read(members) == scope
    members.done()


@given(SCOPES, SCOPES)
def test_a_scope_is_within_another_exactly_when_each_of_its_rights_is(one: Scope, other: Scope) -> None:
    joined = Scope(one.categories | other.categories, one.directions | other.directions, one.purposes | other.purposes)
    assert one.within(other) == (joined == other)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("categories", ["class:1"]),
        ("categories", ["10"]),
        ("categories", ["class:10\n"]),
        ("categories", ["class:１０"]),
        ("categories", [10]),
        ("directions", ["WRITE"]),
        ("directions", ["read"]),
        ("directions", ["DEPOSIT "]),
        ("purposes", ["RESEARCH"]),
        ("purposes", [""]),
        ("purposes", "CARE"),
    ],
)
def test_an_unknown_right_is_refused(member: str, value: Any) -> None:
    good = {"categories": ["class:10"], "directions": ["READ"], "purposes": ["CARE"]}
    Scope.read(Members(good, "scope"))
    with pytest.raises(FormatError):
        Scope.read(Members(good | {member: value}, "scope"))


@pytest.mark.parametrize("name", ["ab", "-ab", "ab-", "a" * 41, "Lumen", "lumen/x", "lumen.x", "é" * 5, "lumen\n", ""])
def test_a_name_of_another_form_is_none(name: str) -> None:
    assert SERVICE_NAME.fullmatch(f"services/{name}") is None
    assert ORGANIZATION_NAME.fullmatch(f"organizations/{name}") is None


@pytest.mark.parametrize("name", ["abc", "a" * 40, "a-b", "0-9"])
def test_a_name_has_3_to_40_letters_digits_and_inner_hyphens(name: str) -> None:
    assert SERVICE_NAME.fullmatch(f"services/{name}")
    assert ORGANIZATION_NAME.fullmatch(f"organizations/{name}")

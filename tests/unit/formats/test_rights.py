"""Scopes: what covers what, and the one form they are read from."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.formats import rights
from services.formats.canonical import FormatError, Members
from services.formats.rights import (
    CATEGORY,
    ORGANIZATION_NAME,
    SERVICE_NAME,
    Basis,
    Direction,
    Purpose,
    Scope,
    covers,
    touches,
    wider,
)
from services.nomenclature.documents import EDITIONS

CATEGORIES = ("class:10", "class:42", "type:11488-4", "type:57833-6", "type:NOWHERE", "measure:8867-4")
SCOPES = st.builds(
    Scope,
    st.frozensets(st.sampled_from(CATEGORIES)),
    st.frozensets(st.sampled_from(Direction)),
    st.frozensets(st.sampled_from(Purpose)),
)
FULL = Scope(frozenset({"class:10"}), frozenset(Direction), frozenset(Purpose))


@given(SCOPES)
def test_a_scope_reads_back_from_its_json(scope: Scope) -> None:
    members = Members(scope.to_json(), "scope")
    assert Scope.read(members) == scope
    members.done()


def test_a_scope_s_json_is_three_sorted_arrays() -> None:
    parts: Any = ("type:REMB", "class:10"), tuple(Direction), tuple(Purpose)
    assert Scope(*parts).to_json() == {
        "categories": ["class:10", "type:REMB"],
        "directions": ["DEPOSIT", "READ"],
        "purposes": ["CARE", "DIAGNOSIS", "PREVENTION", "SOCIAL_FOLLOW_UP"],
    }


@pytest.mark.parametrize(
    ("granted", "asked", "covered"),
    [
        ("class:10", "class:10", True),
        ("class:10", "type:11488-4", True),
        ("class:10", "type:11488-4 class:10", True),
        ("class:10", "type:57833-6", False),
        ("class:10", "type:11488-4 type:57833-6", False),
        ("class:10 class:42", "type:11488-4 type:57833-6", True),
        ("type:11488-4", "type:11488-4", True),
        ("type:11488-4", "class:10", False),
        ("type:11488-4", "type:34112-3", False),
        ("measure:8867-4", "measure:8867-4", True),
        ("measure:8867-4", "type:8867-4", False),
        ("class:10", "measure:11488-4", False),
        ("type:NOWHERE", "type:NOWHERE", True),
        ("class:10 type:OTHER", "type:NOWHERE", False),
        ("class:10", "class:1", False),
        ("class:10", "", False),
        ("", "class:10", False),
        ("", "", False),
    ],
)
def test_a_class_covers_its_types_and_nothing_else_covers_anything_but_itself(
    granted: str, asked: str, covered: bool
) -> None:
    assert covers(frozenset(granted.split()), frozenset(asked.split())) == covered


@pytest.mark.parametrize(
    ("some", "asked", "touched"),
    [
        ("class:10", "class:10", True),
        ("class:10", "type:11488-4", True),
        ("type:11488-4", "class:10", True),
        ("type:11488-4", "type:11488-4", True),
        ("type:11488-4", "type:34112-3", False),
        ("class:42", "type:11488-4", False),
        ("type:11488-4", "class:42", False),
        ("class:42", "class:10 type:57833-6", True),
        ("class:42 type:11488-4", "class:10", True),
        ("measure:8867-4", "measure:8867-4", True),
        ("measure:8867-4", "class:10 type:8867-4", False),
        ("type:NOWHERE", "type:NOWHERE", True),
        ("type:NOWHERE", "type:OTHER measure:8867-4", False),
        ("label:V", "class:10", False),
        ("class:10", "", False),
        ("", "class:10", False),
    ],
)
def test_two_sets_touch_where_any_of_them_shares_data(some: str, asked: str, touched: bool) -> None:
    assert touches(frozenset(some.split()), frozenset(asked.split())) == touched


def test_an_empty_word_covers_nothing() -> None:
    """It is what an unknown type has for a class."""
    assert not covers(frozenset({"", "None", "class:None", "class:"}), frozenset({"type:NOWHERE"}))


def test_only_a_known_type_has_a_class() -> None:
    known = {"type:11488-4": "class:10", "type:REMB": "class:60"}
    assert {item: wider(item) for item in known} == known
    assert [wider(item) for item in ("type:NOWHERE", "type:", "class:10", "measure:11488-4", "11488-4", "")] == [
        None
    ] * 6


def test_the_latest_edition_of_the_table_says_which_class_a_type_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = replace(EDITIONS[0], class_of={"11488-4": "31"})
    monkeypatch.setattr(rights, "EDITIONS", (earlier, *EDITIONS))
    assert wider("type:11488-4") == "class:10"


@given(SCOPES, SCOPES)
def test_a_scope_is_within_another_exactly_when_it_asks_something_and_each_of_its_rights_is_covered(
    one: Scope, other: Scope
) -> None:
    atoms = [(c, d, p) for c in one.categories for d in one.directions for p in one.purposes]
    expected = all(covers(other.categories, {c}) and d in other.directions and p in other.purposes for c, d, p in atoms)
    assert one.within(other) == (bool(atoms) and expected)


def test_a_scope_is_within_itself_and_not_within_less() -> None:
    assert FULL.within(FULL)
    for less in (
        Scope(frozenset({"class:11"}), FULL.directions, FULL.purposes),
        Scope(FULL.categories, frozenset({Direction.READ}), FULL.purposes),
        Scope(FULL.categories, FULL.directions, frozenset({Purpose.CARE})),
    ):
        assert not FULL.within(less)


def test_a_scope_that_asks_for_nothing_is_within_none() -> None:
    for empty in (
        Scope(frozenset(), FULL.directions, FULL.purposes),
        Scope(FULL.categories, frozenset(), FULL.purposes),
        Scope(FULL.categories, FULL.directions, frozenset()),
    ):
        assert not empty.within(FULL)
        assert not empty.within(empty)


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("categories", ["class:1"], "scope.categories.item has a wrong form"),
        ("categories", ["10"], "scope.categories.item has a wrong form"),
        ("categories", ["class:10\n"], "scope.categories.item has a wrong form"),
        ("categories", ["class:１０"], "scope.categories.item has a wrong form"),
        ("categories", [10], "scope.categories.item is not a string"),
        ("directions", ["WRITE"], "an unknown direction or purpose"),
        ("directions", ["read"], "an unknown direction or purpose"),
        ("directions", ["DEPOSIT "], "an unknown direction or purpose"),
        ("purposes", ["RESEARCH"], "an unknown direction or purpose"),
        ("purposes", [""], "an unknown direction or purpose"),
        ("purposes", "CARE", "scope.purposes is not an array"),
    ],
)
def test_an_unknown_right_is_refused(member: str, value: Any, said: str) -> None:
    good = {"categories": ["class:10"], "directions": ["READ"], "purposes": ["CARE"]}
    Scope.read(Members(good, "scope"))
    with pytest.raises(FormatError, match=f"^{said}$"):
        Scope.read(Members(good | {member: value}, "scope"))


@pytest.mark.parametrize(
    "text", ["class:10", "type:abc", "type:" + "Z" * 20, "type:A_9-z", "measure:1-0", "measure:123456-9"]
)
def test_a_category_is_a_class_a_type_or_a_measure(text: str) -> None:
    assert CATEGORY.fullmatch(text)


@pytest.mark.parametrize(
    "text", ["class:100", "class:1a", "type:ab", "type:" + "Z" * 21, "type:a.b", "measure:-1", "measure:1234567-1",
             "measure:12-34", "measure:1_0", "label:V", " class:10", "Class:10", "type:é12", ""]
)  # fmt: skip
def test_nothing_else_is_a_category(text: str) -> None:
    assert CATEGORY.fullmatch(text) is None


def test_the_words_for_rights_are_the_ones_that_are_stored_and_signed() -> None:
    assert [it.value for it in Direction] == ["READ", "DEPOSIT"]
    assert [it.value for it in Purpose] == ["PREVENTION", "DIAGNOSIS", "CARE", "SOCIAL_FOLLOW_UP"]
    assert [it.value for it in Basis] == ["consent", "care_team", "emergency"]


@pytest.mark.parametrize("name", ["ab", "-ab", "ab-", "a" * 41, "Lumen", "lumen/x", "lumen.x", "é" * 5, "lumen\n", ""])
def test_a_name_of_another_form_is_none(name: str) -> None:
    assert SERVICE_NAME.fullmatch(f"services/{name}") is None
    assert ORGANIZATION_NAME.fullmatch(f"organizations/{name}") is None


@pytest.mark.parametrize("name", ["abc", "a" * 40, "a-b", "0-9"])
def test_a_name_has_3_to_40_letters_digits_and_inner_hyphens(name: str) -> None:
    assert SERVICE_NAME.fullmatch(f"services/{name}")
    assert ORGANIZATION_NAME.fullmatch(f"organizations/{name}")

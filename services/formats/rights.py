"""What a right covers: data categories × directions × purposes; and the names of the things that hold rights.

A category is a class of documents (`class:10`, JDV_J57), one type of document (`type:11488-4`) or one measure
(`measure:8867-4`, LOINC). A class covers its types; nothing else covers anything but itself.
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from services.formats.canonical import FormatError, Members
from services.nomenclature.documents import EDITIONS

SERVICE_NAME = re.compile(r"services/[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
ORGANIZATION_NAME = re.compile(r"organizations/[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
CATEGORY = re.compile(r"class:[0-9]{2}|type:[A-Za-z0-9_-]{3,20}|measure:[0-9]{1,6}-[0-9]")


class Direction(StrEnum):
    """Which way data moves, seen from the service that holds the right."""

    READ = "READ"
    DEPOSIT = "DEPOSIT"


class Purpose(StrEnum):
    """Why data is exchanged: the closed list of R1111-39."""

    PREVENTION = "PREVENTION"
    DIAGNOSIS = "DIAGNOSIS"
    CARE = "CARE"
    SOCIAL_FOLLOW_UP = "SOCIAL_FOLLOW_UP"


class Basis(StrEnum):
    """What an exchange rests on (L1111-17, R1111-46). A referenced service has none but consent."""

    CONSENT = "consent"
    CARE_TEAM = "care_team"
    EMERGENCY = "emergency"


def covers(granted: AbstractSet[str], asked: AbstractSet[str]) -> bool:
    """Whether every category asked for is granted, itself or by its class; nothing asked for is covered by nothing."""
    return bool(asked) and all(item in granted or wider(item) in granted for item in asked)


def touches(some: AbstractSet[str], asked: AbstractSet[str]) -> bool:
    """Whether any category asked for shares data with one of `some`: the same, its class, or a type of it."""
    classes = {wider(item) for item in some}
    return any(item in some or wider(item) in some or item in classes for item in asked)


@lru_cache(maxsize=4096)
def wider(category: str) -> str | None:
    """The class that covers a type of document; None for every other category and for an unknown type."""
    kind, _, code = category.partition(":")
    found = EDITIONS[-1].class_of.get(code) if kind == "type" else None
    return f"class:{found}" if found is not None else None


@dataclass(frozen=True, slots=True)
class Scope:
    """Every category in every direction for every purpose."""

    categories: frozenset[str]
    directions: frozenset[Direction]
    purposes: frozenset[Purpose]

    def within(self, other: "Scope") -> bool:
        """Whether `other` covers all of this; a scope without direction or purpose is within none."""
        return (
            covers(other.categories, self.categories)
            and frozenset() < self.directions <= other.directions
            and frozenset() < self.purposes <= other.purposes
        )

    def to_json(self) -> dict[str, Any]:
        """The three sets, each as a sorted array."""
        return {
            "categories": sorted(self.categories),
            "directions": sorted(self.directions),
            "purposes": sorted(self.purposes),
        }

    @staticmethod
    def read(members: Members) -> "Scope":
        """Reads the three arrays from an object. Raises: FormatError."""
        try:
            return Scope(
                frozenset(members.texts("categories", CATEGORY)),
                frozenset(Direction(item) for item in members.texts("directions")),
                frozenset(Purpose(item) for item in members.texts("purposes")),
            )
        except ValueError as error:
            raise FormatError(
                "an unknown direction or purpose" if not isinstance(error, FormatError) else str(error)
            ) from None

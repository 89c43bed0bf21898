"""What a right covers: data categories × directions × purposes; and the names of the things that hold rights."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.formats.canonical import FormatError, Members

SERVICE_NAME = re.compile(r"services/[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
ORGANIZATION_NAME = re.compile(r"organizations/[a-z0-9](?:[a-z0-9-]{1,38})[a-z0-9]")
CATEGORY = re.compile(r"class:[0-9]{2}")


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


@dataclass(frozen=True, slots=True)
class Scope:
    """Every category in every direction for every purpose."""

    categories: frozenset[str]
    directions: frozenset[Direction]
    purposes: frozenset[Purpose]

    def within(self, other: "Scope") -> bool:
        """Whether `other` covers all of this."""
        return (
            self.categories <= other.categories
            and self.directions <= other.directions
            and self.purposes <= other.purposes
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

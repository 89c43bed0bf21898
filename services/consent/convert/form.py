"""The fields of one request, read into domain values; the limits of the protos' comments are enforced here, all at once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.consent.domain import commands as c
from services.consent.domain.terms import EXCEPTION, MAX_PERIOD_S, MAX_QUOTA, Effect, Limits, Quota
from services.errors import Violation, invalid
from services.formats.rights import CATEGORY, SERVICE_NAME, Basis, Direction, Purpose, Scope, wider
from services.nomenclature.documents import CLASSES

T = TypeVar("T")
MAX_CATEGORIES = 64
MAX_LABELS = 16
REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
AUTHENTICATION = re.compile(r"[a-z0-9_.-]{1,40}")
PERSON = re.compile(r"[A-Za-z0-9_-]{1,64}")
LABEL = re.compile(r"[A-Z_]{1,40}")
WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
ROLES = {
    int(consent_pb2.ACTOR_ROLE_HOLDER): c.HOLDER,
    int(consent_pb2.ACTOR_ROLE_REPRESENTATIVE): c.REPRESENTATIVE,
}
DIRECTIONS = {int(registry_pb2.Direction.Value(f"DIRECTION_{item}")): item for item in Direction}
PURPOSES = {int(registry_pb2.Purpose.Value(f"PURPOSE_{item}")): item for item in Purpose}
EFFECTS = {0: Effect.PERMIT} | {int(consent_pb2.Effect.Value(f"EFFECT_{item}")): item for item in Effect}
BASES = {0: Basis.CONSENT} | {int(decision_service_pb2.Basis.Value(f"BASIS_{item.name}")): item for item in Basis}
_DISTANT_S = 253_402_300_800


class Form:
    """Reads the fields of one request; `done` refuses it with every violation found."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def check(self, holds: bool, field: str, description: str) -> bool:
        """Notes a violation unless the rule holds."""
        if not holds:
            self._violations.append(Violation(field, description))
        return holds

    def text(self, value: str, pattern: re.Pattern[str], field: str) -> str:
        """A string that `pattern` matches whole."""
        self.check(pattern.fullmatch(value) is not None, field, "has a wrong form" if value else "is required")
        return value

    def given(self, value: str, field: str) -> str:
        """Any string but none."""
        self.check(bool(value), field, "is required")
        return value

    def service(self, value: str, field: str) -> str:
        """A service's name."""
        return self.text(value, SERVICE_NAME, field)

    def member(self, known: Mapping[int, T], value: int, field: str, otherwise: T) -> T:
        """A member of an enum; `otherwise` stands for one that is unset or unknown."""
        self.check(value in known, field, "is required and must be known")
        return known.get(value, otherwise)

    def set_of(self, values: Iterable[Any], pattern: re.Pattern[str], most: int, field: str) -> frozenset[str]:
        """At most `most` strings that `pattern` matches whole, no duplicates."""
        items = list(values)
        self.check(len(items) <= most, field, f"holds more than {most} items")
        self.check(len(set(items)) == len(items), field, "holds a duplicate")
        self.check(all(map(pattern.fullmatch, items)), field, "holds an item of a wrong form")
        return frozenset(items)

    def scope(self, message: consent_pb2.Scope, field: str) -> Scope:
        """A scope whose three sets hold something."""
        for name, items in (("directions", message.directions), ("purposes", message.purposes)):
            self.check(0 < len(set(items)) == len(items), f"{field}.{name}", "needs items, without duplicates")
        return Scope(
            self.categories(message.categories, f"{field}.categories"),
            frozenset(self.direction(item, f"{field}.directions") for item in message.directions),
            frozenset(self.purpose(item, f"{field}.purposes") for item in message.purposes),
        )

    def limits(self, message: consent_pb2.Limits, field: str) -> Limits:
        """What goes beyond a scope; a refusal refuses whole."""
        limits = Limits(
            effect=self.member(EFFECTS, message.effect, f"{field}.effect", Effect.PERMIT),
            exceptions=self.set_of(message.exceptions, EXCEPTION, MAX_CATEGORIES, f"{field}.exceptions"),
            quota=self.quota(message.quota, f"{field}.quota") if message.HasField("quota") else None,
            data_from_ms=self.optional_instant(message, "data_start_time", field),
            data_until_ms=self.optional_instant(message, "data_end_time", field),
            erase_ms=self.optional_instant(message, "erase_time", field),
            secret=message.secret,
        )
        if limits.data_from_ms is not None and limits.data_until_ms is not None:
            self.check(limits.data_from_ms < limits.data_until_ms, f"{field}.data_end_time", "must be after the start")
        alone = limits.effect is Effect.PERMIT or replace(limits, secret=False) == Limits(Effect.DENY)
        self.check(alone, f"{field}.effect", "refuses whole: no other limit but secret")
        return limits

    def quota(self, message: consent_pb2.Quota, field: str) -> Quota:
        """A quota in range."""
        self.check(1 <= message.limit <= MAX_QUOTA, f"{field}.limit", f"must be 1 to {MAX_QUOTA}")
        self.check(0 <= message.period_seconds <= MAX_PERIOD_S, f"{field}.period_seconds", "must be 0 to 366 days")
        return Quota(message.limit, message.period_seconds)

    def actor(self, message: consent_pb2.Actor, field: str) -> c.Actor:
        """Who acts: a representative by name."""
        role = self.member(ROLES, message.role, f"{field}.role", "")
        authentication = self.text(message.authentication, AUTHENTICATION, f"{field}.authentication")
        if role == c.REPRESENTATIVE or message.person:
            self.text(message.person, PERSON, f"{field}.person")
        return c.Actor(role, authentication, message.person)

    def optional_instant(self, message: Any, name: str, field: str = "") -> int | None:
        """The instant of a field that may be unset."""
        path = f"{field}.{name}" if field else name
        return self.instant(getattr(message, name), path) if message.HasField(name) else None

    def direction(self, value: int, field: str) -> Direction:
        """A direction that is set."""
        return self.member(DIRECTIONS, value, field, Direction.READ)

    def purpose(self, value: int, field: str) -> Purpose:
        """A purpose that is set."""
        return self.member(PURPOSES, value, field, Purpose.CARE)

    def categories(self, values: Iterable[str], field: str) -> frozenset[str]:
        """1 to 64 known categories, no duplicates."""
        items = list(values)
        self.check(1 <= len(items) <= MAX_CATEGORIES, field, f"needs 1 to {MAX_CATEGORIES} items")
        self.check(len(set(items)) == len(items), field, "holds a duplicate")
        self.check(all(map(_is_known, items)), field, "holds an unknown category")
        return frozenset(items)

    def instant(self, value: Timestamp, field: str) -> int:
        """Milliseconds since 1970, rounded down."""
        self.check(0 <= value.seconds < _DISTANT_S and 0 <= value.nanos < 10**9, field, "is out of range")
        return value.seconds * 1000 + value.nanos // 1_000_000

    def done(self) -> None:
        """Raises: AccordError FIELD_INVALID when anything was noted."""
        if self._violations:
            raise invalid(self._violations)


def _is_known(category: str) -> bool:
    kind, _, code = category.partition(":")
    if not CATEGORY.fullmatch(category):
        return False
    return code in CLASSES if kind == "class" else kind == "measure" or bool(wider(category))


def enum_name(enum: Any, prefix: str, value: int) -> str:
    """The name of an enum's value without its prefix; empty for an unknown one."""
    return str(enum.Name(value)).removeprefix(prefix) if value in enum.values() else ""


def timestamp(instant_ms: int) -> Timestamp:
    """An instant for the wire."""
    return Timestamp(seconds=instant_ms // 1000, nanos=instant_ms % 1000 * 1_000_000)

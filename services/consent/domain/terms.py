"""What a consent allows beyond its scope, or takes away from it: effect, exceptions, quota, period of the data, duties.

Values only: `decision` applies them. Instants in milliseconds since 1970, periods half open: from, until before.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.formats.canonical import FormatError, Members
from services.formats.times import instant_of, text_of

EXCEPTION = re.compile(r"type:[A-Za-z0-9_-]{3,20}|label:[A-Z_]{1,40}")
MAX_QUOTA = 1_000_000
MAX_PERIOD_S = 366 * 86_400


class Effect(StrEnum):
    """Whether a consent gives a right, or refuses it whatever else was given."""

    PERMIT = "PERMIT"
    DENY = "DENY"


@dataclass(frozen=True, slots=True)
class Quota:
    """At most `limit` exchanges in each `period_s` seconds counted from the consent's start; 0: in its whole life."""

    limit: int
    period_s: int = 0

    def window(self, start_ms: int, now_ms: int) -> int:
        """The start of the window that `now_ms` is in."""
        if not self.period_s:
            return start_ms
        period_ms = self.period_s * 1000
        return start_ms + (now_ms - start_ms) // period_ms * period_ms


@dataclass(frozen=True, slots=True)
class Limits:
    """`data_*`: dates that the data itself may bear. `erase_ms`: when the service must have erased what it received.

    `confirm_ms`: when a representative's consent stops until the holder confirms it (majority). `secret`: kept by a minor
    from their representatives.
    """

    effect: Effect = Effect.PERMIT
    exceptions: frozenset[str] = frozenset()
    quota: Quota | None = None
    data_from_ms: int | None = None
    data_until_ms: int | None = None
    erase_ms: int | None = None
    confirm_ms: int | None = None
    secret: bool = False

    def to_json(self) -> dict[str, Any]:
        """What differs from no limits at all, in an object; empty when nothing does."""
        members: dict[str, Any] = {
            "effect": "" if self.effect is Effect.PERMIT else self.effect.value,
            "exceptions": sorted(self.exceptions),
            "quota": {"limit": self.quota.limit, "period": self.quota.period_s} if self.quota else None,
            "data_from": _text(self.data_from_ms),
            "data_until": _text(self.data_until_ms),
            "erase": _text(self.erase_ms),
            "confirm": _text(self.confirm_ms),
            "secret": self.secret,
        }
        return {name: value for name, value in members.items() if value}

    @staticmethod
    def read(members: Members) -> "Limits":
        """The limits that an object of `to_json` states. Raises: FormatError."""
        effect = members.text("effect", default="")
        limits = Limits(
            effect=_effect(effect) if effect else Effect.PERMIT,
            exceptions=frozenset(members.texts("exceptions", EXCEPTION)),
            quota=_read_quota(members.object("quota")) if members.has("quota") else None,
            data_from_ms=_instant(members, "data_from"),
            data_until_ms=_instant(members, "data_until"),
            erase_ms=_instant(members, "erase"),
            confirm_ms=_instant(members, "confirm"),
            secret=members.boolean("secret") if members.has("secret") else False,
        )
        members.done()
        return limits


NO_LIMITS = Limits()


def _read_quota(members: Members) -> Quota:
    quota = Quota(members.integer("limit"), members.integer("period"))
    members.done()
    if not (1 <= quota.limit <= MAX_QUOTA and quota.period_s <= MAX_PERIOD_S):
        raise FormatError("a quota is out of range")
    return quota


def _effect(text: str) -> Effect:
    try:
        return Effect(text)
    except ValueError:
        raise FormatError("an unknown effect") from None


def _text(instant_ms: int | None) -> str:
    return text_of(instant_ms) if instant_ms is not None else ""


def _instant(members: Members, name: str) -> int | None:
    text = members.text(name, default="")
    return instant_of(text) if text else None

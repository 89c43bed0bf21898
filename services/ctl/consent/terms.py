"""What the options of a command say about a consent: what it covers, until when, and what goes beyond.

Leaves limits, and what a convention allows, to the ledger: it names each field that it refuses.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_request_service_pb2 as request_pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.formats.rights import Direction, Purpose

Terms = consent_pb2.Consent | request_pb.ConsentRequest
"""Both have scope, start_time, end_time, limits."""
SECONDS = {"h": 3600, "d": 86_400, "hour": 3600, "day": 86_400, "week": 604_800}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_QUOTA = re.compile(r"(\d{1,9})(?:/(?:(\d{1,4})([hd])|(hour|day|week)))?", re.ASCII)


def instant(text: str) -> Timestamp:
    """A day (its beginning, in UTC), or an RFC 3339 instant. Raises: typer.BadParameter."""
    try:
        moment = datetime.fromisoformat(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text)
    except ValueError:
        raise typer.BadParameter("neither a day (2026-11-23) nor an instant (2026-11-23T09:00:00Z)") from None
    if moment.tzinfo is None:
        raise typer.BadParameter("an instant needs its offset from UTC, such as Z or +01:00")
    since = moment - _EPOCH
    return Timestamp(seconds=since // timedelta(seconds=1), nanos=since.microseconds // 1000 * 1_000_000)


def quota(text: str) -> consent_pb2.Quota:
    """Exchanges in a period, such as 10/day, 3/12h, 100/30d; or a number for a consent's whole life.

    Raises: typer.BadParameter.
    """
    match = _QUOTA.fullmatch(text)
    if match is None:
        raise typer.BadParameter("not a number with a period, such as 10/day, 3/12h, 100/30d")
    limit, count, unit, period = match.groups()
    return consent_pb2.Quota(limit=int(limit), period_seconds=int(count or 1) * SECONDS.get(unit or period or "", 0))


Categories = Annotated[
    list[str] | None,
    typer.Option("--category", help="class:10, type:11488-4 or measure:8867-4; repeat for more.", show_default=False),
]
Directions = Annotated[
    list[Direction] | None,
    typer.Option("--direction", case_sensitive=False, help="Seen from the service; repeat for more."),
]
Purposes = Annotated[
    list[Purpose] | None, typer.Option("--purpose", case_sensitive=False, help="Why; repeat for more.")
]
When = "2026-11-23 or 2026-11-23T09:00:00Z"
Until = Annotated[Timestamp | None, typer.Option(parser=instant, metavar="DATE", help=f"Its end, excluded: {When}.")]
DataFrom = Annotated[Timestamp | None, typer.Option(parser=instant, metavar="DATE", help="Only data dated from here.")]
DataUntil = Annotated[
    Timestamp | None, typer.Option(parser=instant, metavar="DATE", help="Only data dated before here.")
]
HowOften = Annotated[
    consent_pb2.Quota | None,
    typer.Option(
        "--quota", parser=quota, metavar="N/PERIOD", help="At most 10/day, 3/12h or 100/30d; 5 alone: in all."
    ),
]
DenyTypes = Annotated[
    list[str] | None, typer.Option("--deny-type", help="Leave out this type of document: 11488-4; repeat for more.")
]
DenyLabels = Annotated[
    list[str] | None, typer.Option("--deny-label", help="Leave out data of this confidentiality: V; repeat for more.")
]


@dataclass(frozen=True, slots=True)
class Changes:
    """What options set of a consent's terms: what is unset stays; what is denied adds to what was."""

    categories: list[str] | None = None
    directions: list[Direction] | None = None
    purposes: list[Purpose] | None = None
    until: Timestamp | None = None
    quota: consent_pb2.Quota | None = None
    data_from: Timestamp | None = None
    data_until: Timestamp | None = None
    deny_types: list[str] | None = None
    deny_labels: list[str] | None = None

    def apply(self, terms: Terms) -> None:
        """Changes them in place."""
        self._apply_scope(terms.scope)
        if self.until is not None:
            terms.end_time.CopyFrom(self.until)
        for field, value in self._limits():
            getattr(terms.limits, field).CopyFrom(value)
        denied = [item if ":" in item else f"type:{item}" for item in self.deny_types or ()]
        denied += [item if ":" in item else f"label:{item}" for item in self.deny_labels or ()]
        if denied:
            terms.limits.exceptions[:] = sorted({*terms.limits.exceptions, *denied})

    def _apply_scope(self, scope: consent_pb2.Scope) -> None:
        if self.categories:
            scope.categories[:] = self.categories
        if self.directions:
            scope.directions[:] = [direction_value(item) for item in self.directions]
        if self.purposes:
            scope.purposes[:] = [purpose_value(item) for item in self.purposes]

    def _limits(self) -> "Iterable[tuple[str, Timestamp | consent_pb2.Quota]]":
        given = {"quota": self.quota, "data_start_time": self.data_from, "data_end_time": self.data_until}
        return [(field, value) for field, value in given.items() if value is not None]


def direction_value(item: Direction) -> "registry_pb2.Direction.ValueType":
    """A direction for the wire."""
    return registry_pb2.Direction.Value(f"DIRECTION_{item}")


def purpose_value(item: Purpose) -> "registry_pb2.Purpose.ValueType":
    """A purpose for the wire."""
    return registry_pb2.Purpose.Value(f"PURPOSE_{item}")

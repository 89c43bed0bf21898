"""Consents and requests for a person to read: each term on a line, and what of an asked one was granted.

Guarantees that nothing is shown that the message does not hold.
"""

from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_request_service_pb2 as request_pb
from accord.registry.v1 import registry_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from rich.markup import escape
from rich.table import Table

from services.consent.convert.form import enum_name
from services.ctl.consent.terms import Terms
from services.formats.rights import wider
from services.nomenclature.documents import CLASSES, type_label

TITLES = {
    "scope.categories": "categories",
    "scope.directions": "directions",
    "scope.purposes": "purposes",
    "start_time": "from",
    "end_time": "until",
    "limits.effect": "effect",
    "limits.exceptions": "left out",
    "limits.quota": "quota",
    "limits.data_start_time": "data from",
    "limits.data_end_time": "data until",
    "limits.erase_time": "erased by",
    "limits.secret": "secret",
}
Lines = dict[str, list[str]]
"""What a message says of each term, by the term's field."""


def terms(message: Terms) -> Lines:
    """Every term that is set."""
    scope, limits = message.scope, message.limits
    lines: Lines = {
        "scope.categories": list(map(category, scope.categories)),
        "scope.directions": [enum_name(registry_pb2.Direction, "DIRECTION_", item) for item in scope.directions],
        "scope.purposes": [enum_name(registry_pb2.Purpose, "PURPOSE_", item) for item in scope.purposes],
        "start_time": _time(message.start_time),
        "end_time": _time(message.end_time),
        "limits.effect": ["DENY"] if limits.effect == consent_pb2.EFFECT_DENY else [],
        "limits.exceptions": list(map(category, limits.exceptions)),
        "limits.quota": [_quota(limits.quota)] if limits.HasField("quota") else [],
        "limits.data_start_time": _time(limits.data_start_time),
        "limits.data_end_time": _time(limits.data_end_time),
        "limits.erase_time": _time(limits.erase_time),
        "limits.secret": ["yes"] if limits.secret else [],
    }
    return {field: values for field, values in lines.items() if values}


def category(name: str) -> str:
    """A category with what it is called in French."""
    kind, _, code = name.partition(":")
    label = CLASSES.get(code) if kind == "class" else type_label(code) if kind == "type" else None
    return f"{name} {label}" if label else name


def _time(stamp: Timestamp) -> list[str]:
    return [stamp.ToJsonString()] if stamp.ByteSize() else []


def _quota(quota: consent_pb2.Quota) -> str:
    days, hours = quota.period_seconds / 86_400, quota.period_seconds / 3600
    period = f"each {days:g} d" if days >= 1 else f"each {hours:g} h"
    return f"{quota.limit} {period if quota.period_seconds else 'in all'}"


def narrowed(asked: Lines, granted: Lines) -> list[str]:
    """The fields of which less was granted than asked; a grant is never wider, so any difference is one.

    Leaves out the start of a request without one: it is the grant's.
    """
    fields = [field for field in TITLES if asked.get(field) != granted.get(field)]
    return [field for field in fields if field != "start_time" or field in asked]


def comparison(asked: Lines, granted: Lines, titles: tuple[str, str]) -> Table:
    """Both beside each other, and what was taken away."""
    table, less = Table(), narrowed(asked, granted)
    for title in ("", *titles, "narrowed"):
        table.add_column(title, overflow="fold")
    for field, title in TITLES.items():
        if field in asked or field in granted:
            before, after = asked.get(field, []), granted.get(field, [])
            mark = _difference(field, before, after) if field in less else ""
            table.add_row(title, _text(before), _text(after), mark)
    return table


def _difference(field: str, before: list[str], after: list[str]) -> str:
    sets = field.startswith("scope.") or field == "limits.exceptions"
    gone = [item for item in before if item not in after] if field.startswith("scope.") else after
    lines = [f"− {escape(item)}{_kept(item, after)}" for item in gone if item not in before or item not in after]
    return "[yellow]" + ("\n".join(lines) if sets else "narrower") + "[/]"


def _kept(item: str, after: list[str]) -> str:
    """What remains of a class that was taken away as a whole."""
    kept = [name for name in (line.partition(" ")[0] for line in after) if wider(name) == item.partition(" ")[0]]
    return f" but for {', '.join(kept)}" if kept else ""


def consent_table(consent: consent_pb2.Consent) -> Table:
    """One consent."""
    role = enum_name(consent_pb2.ActorRole, "ACTOR_ROLE_", consent.actor.role).lower()
    state = enum_name(consent_pb2.ConsentState, "CONSENT_STATE_", consent.state)
    return _sheet(
        {
            "name": consent.name,
            "service": consent.service,
            "state": f"{state} ({consent.cause})" if consent.cause else state,
            "revision": str(consent.revision or ""),
            "decided by": f"{role}, {consent.actor.authentication}",
        },
        terms(consent),
        {"notice": consent.notice_sha256},
    )


def request_table(request: request_pb.ConsentRequest) -> Table:
    """One request."""
    return _sheet(
        {
            "name": request.name,
            "service": request.service,
            "state": request_state(request),
            "code": request.user_code,
            "to decide by": "".join(_time(request.expire_time)),
            "consent": request.consent,
            "patient": request.patient,
        },
        terms(request),
        {"notice": request.notice_sha256},
    )


def request_state(request: request_pb.ConsentRequest) -> str:
    """Where a request stands, without its prefix."""
    return enum_name(request_pb.RequestState, "REQUEST_STATE_", request.state)


def _sheet(before: dict[str, str], lines: Lines, after: dict[str, str]) -> Table:
    table = Table(show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    said = {TITLES[field]: _text(values) for field, values in lines.items()}
    for title, value in (_escaped(before) | said | _escaped(after)).items():
        if value:
            table.add_row(title, value)
    return table


def _escaped(lines: dict[str, str]) -> dict[str, str]:
    return {title: escape(value) for title, value in lines.items()}


def _text(values: list[str]) -> str:
    return "\n".join(map(escape, values))

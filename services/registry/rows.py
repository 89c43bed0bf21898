"""Rows to domain values and back. Guarantees that a value read is the value written, to the byte of its record."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import RowMapping

from services.formats.canonical import Members, dumps, loads
from services.formats.jwk import VerifyKey
from services.formats.lease import Convention, Status
from services.formats.rights import Scope
from services.registry.domain.service import Application, Notice, Organization, RecordedOrganization, Service
from services.registry.domain.status import Standing

Values = dict[str, Any]


def organization_values(recorded: RecordedOrganization) -> Values:
    """The row of an organisation."""
    asked = recorded.organization
    return {
        "name": asked.name,
        "siren": asked.siren,
        "oid": asked.oid,
        "display_name": asked.display_name,
        "create_ms": recorded.create_ms,
    } | organization_state(recorded)


def organization_state(recorded: RecordedOrganization) -> Values:
    """The columns that change when an organisation is suspended or reinstated."""
    return {"suspended": recorded.suspended, "revision": recorded.revision}


def read_organization(row: RowMapping) -> RecordedOrganization:
    """The organisation of a row."""
    organization = Organization(row["name"], row["siren"], row["oid"], row["display_name"])
    return RecordedOrganization(organization, row["create_ms"], row["suspended"], row["revision"])


def service_values(service: Service) -> Values:
    """The row of a new service."""
    asked = service.application
    return {
        "name": asked.name,
        "organization": asked.organization,
        "display_name": asked.display_name,
        "oid": asked.oid,
        "endpoint": asked.endpoint,
        "spiffe_id": service.spiffe_id,
        "convention": _convention_json(asked.convention, asked.notice),
        "create_ms": service.create_ms,
    } | state_values(service)


def state_values(service: Service) -> Values:
    """The columns that change when a service moves."""
    before = service.standing.before
    return {
        "status": service.standing.status.value,
        "before": before and before.value,
        "held": service.standing.held,
        "revision": service.revision,
        "record": service.record,
    }


def key_values(service: Service) -> list[Values]:
    """The rows of a service's keys."""
    return [
        {"kid": key.kid, "service": service.name, "position": position, "jwk": dumps(key.jwk).decode("ascii")}
        for position, key in enumerate(service.application.keys)
    ]


def read_service(row: RowMapping, jwks: Iterable[str]) -> Service:
    """The service of a row and of its keys' rows, in order of position."""
    convention, notice = _read_convention(row["convention"])
    application = Application(
        name=row["name"],
        organization=row["organization"],
        display_name=row["display_name"],
        oid=row["oid"],
        convention=convention,
        notice=notice,
        keys=tuple(VerifyKey.read(loads(jwk)) for jwk in jwks),
        endpoint=row["endpoint"],
    )
    standing = Standing(Status(row["status"]), row["before"] and Status(row["before"]), row["held"])
    return Service(application, row["spiffe_id"], standing, row["revision"], row["create_ms"])


def _convention_json(convention: Convention, notice: Notice) -> str:
    terms = convention.scope.to_json() | {
        "start_ms": convention.start_ms,
        "end_ms": convention.end_ms,
        "notice_sha256": convention.notice_sha256,
        "ins_in_documents": convention.ins_in_documents,
        "notice": {"version": notice.version, "text": notice.text},
    }
    return dumps(terms).decode("utf-8")


def _read_convention(text: str) -> tuple[Convention, Notice]:
    members = Members(loads(text), "convention")
    notice = members.object("notice")
    convention = Convention(
        scope=Scope.read(members),
        start_ms=members.integer("start_ms"),
        end_ms=members.integer("end_ms"),
        notice_sha256=members.text("notice_sha256"),
        ins_in_documents=members.boolean("ins_in_documents"),
    )
    return convention, Notice(notice.text("version"), notice.text("text"))

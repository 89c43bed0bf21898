"""The registry lease: a signed snapshot of who may exchange what, of bounded age.

The snapshot is one canonical JSON record for each service, in order of name; its hash is their RFC 9162 tree hash, so one
record is proven against a lease in O(log n). The lease is a JWS over sequence, hash, number of records, issue time and
maximum age. Age is the reader's affair: it counts from before the request, on its own monotonic clock.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.formats import jws
from services.formats.canonical import HEX_32, FormatError, Members, dumps, loads_canonical
from services.formats.entry import Pin
from services.formats.jwk import KeyOf, Signer, VerifyKey
from services.formats.rights import ORGANIZATION_NAME, SERVICE_NAME, Scope
from services.formats.times import instant_of, text_of
from services.tlog.tree import leaf_hash, merkle_root

TYP = "accord-lease+jws"
MAX_AGE_S = 30
MAX_RECORD = 262_144
_HOST_PORT = re.compile(r"[a-z0-9.-]{1,253}:[0-9]{1,5}")


class Status(StrEnum):
    """Where a service stands in its referencing."""

    APPLIED = "APPLIED"
    REFERENCED_WITHOUT_EXCHANGE = "REFERENCED_WITHOUT_EXCHANGE"
    REFERENCED_WITH_EXCHANGE = "REFERENCED_WITH_EXCHANGE"
    SUSPENDED = "SUSPENDED"


@dataclass(frozen=True, slots=True)
class Convention:
    """What the tripartite convention allows, from `start_ms` until before `end_ms`."""

    scope: Scope
    start_ms: int
    end_ms: int
    notice_sha256: str
    ins_in_documents: bool

    def in_force(self, now_ms: int) -> bool:
        """Whether it holds at this instant."""
        return self.start_ms <= now_ms < self.end_ms


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One service of the snapshot; `endpoint` is host:port or empty."""

    name: str
    organization: str
    oid: str
    status: Status
    spiffe_id: str
    endpoint: str
    convention: Convention
    keys: tuple[VerifyKey, ...]

    def key(self, kid: str) -> VerifyKey | None:
        """The service's signing key of this thumbprint."""
        return next((key for key in self.keys if key.kid == kid), None)

    def to_bytes(self) -> bytes:
        """The record's exact bytes."""
        convention = self.convention.scope.to_json() | {
            "start": text_of(self.convention.start_ms),
            "end": text_of(self.convention.end_ms),
            "notice_sha256": self.convention.notice_sha256,
            "ins_in_documents": self.convention.ins_in_documents,
        }
        return dumps(
            {
                "name": self.name,
                "organization": self.organization,
                "oid": self.oid,
                "status": self.status.value,
                "spiffe_id": self.spiffe_id,
                "endpoint": self.endpoint,
                "convention": convention,
                "keys": [key.jwk for key in self.keys],
            }
        )


def parse_record(data: bytes) -> ServiceRecord:
    """The record that these bytes are. Raises: FormatError."""
    members = Members(loads_canonical(data, MAX_RECORD), "record")
    try:
        status = Status(members.text("status"))
    except ValueError:
        raise FormatError("record.status is unknown") from None
    record = ServiceRecord(
        name=members.text("name", SERVICE_NAME),
        organization=members.text("organization", ORGANIZATION_NAME),
        oid=members.text("oid"),
        status=status,
        spiffe_id=members.text("spiffe_id"),
        endpoint=members.text("endpoint", _HOST_PORT, default=""),
        convention=_read_convention(members.object("convention")),
        keys=members.items("keys", lambda item, _: VerifyKey.read(item)),
    )
    members.done()
    domain, _, _ = record.spiffe_id.removeprefix("spiffe://").partition("/")
    if record.spiffe_id != f"spiffe://{domain}/service/{record.name.removeprefix('services/')}" or not domain:
        raise FormatError("record.spiffe_id is not the service's own")
    return record


def _read_convention(members: Members) -> Convention:
    convention = Convention(
        scope=Scope.read(members),
        start_ms=instant_of(members.text("start")),
        end_ms=instant_of(members.text("end")),
        notice_sha256=members.text("notice_sha256", HEX_32),
        ins_in_documents=members.boolean("ins_in_documents"),
    )
    members.done()
    return convention


@dataclass(frozen=True, slots=True)
class Lease:
    """What a lease says; `token` is the JWS itself."""

    pin: Pin
    size: int
    issued_s: int
    max_age_s: int
    token: str


def sign_lease(signer: Signer, trust_domain: str, pin: Pin, size: int, now_ms: int) -> str:
    """A lease of MAX_AGE_S issued now."""
    claims: dict[str, Any] = {
        "iss": trust_domain,
        "sequence": pin.sequence,
        "snapshot": pin.hash,
        "size": size,
        "iat": now_ms // 1000,
        "max_age": MAX_AGE_S,
    }
    return jws.sign(signer, TYP, dumps(claims))


def open_lease(token: str, trust_domain: str, key_of: KeyOf) -> Lease:
    """The lease of a token that one of the registry's keys signed. Raises: FormatError."""
    members = Members(jws.verify(token, TYP, key_of).claims, "lease")
    if members.text("iss") != trust_domain:
        raise FormatError("the lease is of another trust domain")
    lease = Lease(
        Pin(members.integer("sequence"), members.text("snapshot", HEX_32)),
        members.integer("size"),
        members.integer("iat"),
        members.integer("max_age"),
        token,
    )
    members.done()
    if not 0 < lease.max_age_s <= MAX_AGE_S:
        raise FormatError("the lease's maximum age is out of range")
    return lease


def snapshot_hash(records: Sequence[bytes]) -> str:
    """RFC 9162 tree hash of the records, in hexadecimal."""
    return merkle_root([leaf_hash(record) for record in records]).hex()


def parse_snapshot(lease: Lease, records: Sequence[bytes]) -> dict[str, ServiceRecord]:
    """The lease's services by name. Raises: FormatError when the records are not those the lease names."""
    if len(records) != lease.size or snapshot_hash(records) != lease.pin.hash:
        raise FormatError("the records are not the lease's snapshot")
    services = {record.name: record for record in map(parse_record, records)}
    if list(services) != sorted(services) or len(services) != len(records):
        raise FormatError("the snapshot is not in order of name")
    return services

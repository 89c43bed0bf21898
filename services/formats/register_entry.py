"""An entry of the register's log, byte for byte: one change of an organisation or a service, and the snapshot after it.

One JSON object in RFC 8785 form; members that do not apply are absent. It names no person: who did it, why and on which
evidence lie behind `commit` = SHA-256(salt ‖ body), 32-byte random salt (`entry.commitment`).
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.formats.canonical import HEX_32, FormatError, Members, dumps, loads_canonical
from services.formats.entry import MAX_ENTRY, VERSION, Pin
from services.formats.rights import ORGANIZATION_NAME, SERVICE_NAME
from services.formats.times import instant_of, text_of

RESOURCE = re.compile(f"{ORGANIZATION_NAME.pattern}|{SERVICE_NAME.pattern}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_STATUS = re.compile(r"[A-Z][A-Z_]{0,39}")


class RegisterEvent(StrEnum):
    """What an entry records."""

    ORGANIZATION_RECORDED = "organization.recorded"
    ORGANIZATION_SUSPENDED = "organization.suspended"
    ORGANIZATION_REINSTATED = "organization.reinstated"
    SERVICE_APPLIED = "service.applied"
    SERVICE_REFERENCED = "service.referenced"
    SERVICE_SUSPENDED = "service.suspended"
    SERVICE_REINSTATED = "service.reinstated"
    REGISTER_CARRIED = "register.carried"
    """What stood in the register before it had a log."""


@dataclass(frozen=True, slots=True)
class RegisterEntry:
    """One entry. `registry` is the snapshot once this had happened, `record` the leaf hash (hexadecimal) of the service's
    record in it, `status` where organisation or service stands since."""

    type: RegisterEvent
    time_ms: int
    resource: str
    registry: Pin
    commit: str
    actor: str
    status: str = ""
    record: str = ""

    def to_bytes(self) -> bytes:
        """The entry's exact bytes."""
        members: dict[str, Any] = {
            "v": VERSION,
            "type": self.type.value,
            "time": text_of(self.time_ms),
            "resource": self.resource,
            "registry": {"sequence": self.registry.sequence, "hash": self.registry.hash},
            "commit": self.commit,
            "actor": self.actor,
            "status": self.status,
            "record": self.record,
        }
        return dumps({name: value for name, value in members.items() if value})


def parse_register_entry(data: bytes) -> RegisterEntry:
    """The entry that these bytes are. Raises: FormatError for anything else, above all bytes ≠ canonical(parse(bytes))."""
    members = Members(loads_canonical(data, MAX_ENTRY), "entry")
    if members.integer("v") != VERSION:
        raise FormatError("an entry of an unknown version")
    try:
        type_ = RegisterEvent(members.text("type"))
    except ValueError:
        raise FormatError("an entry of an unknown type") from None
    pin = members.object("registry")
    entry = RegisterEntry(
        type=type_,
        time_ms=instant_of(members.text("time")),
        resource=members.text("resource", RESOURCE),
        registry=Pin(pin.integer("sequence"), pin.text("hash", HEX_32)),
        commit=members.text("commit", HEX_32),
        actor=members.text("actor", _WORD),
        status=members.text("status", _STATUS, default=""),
        record=members.text("record", HEX_32, default=""),
    )
    pin.done()
    members.done()
    if entry.to_bytes() != data:
        raise FormatError("the entry holds an empty member")
    return entry

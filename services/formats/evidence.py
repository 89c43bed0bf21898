"""Evidence: one file that proves one delivered exchange, for anyone who holds TRUST (docs/formats.md).

Reads and writes the file; `verify` says whether it is true. Canonical JSON, so that no byte of it is without meaning.
"""

from dataclasses import dataclass
from typing import Any

from services.formats.canonical import HEX_32, FormatError, Members, dumps, loads_canonical
from services.formats.jwk import b64url, unb64url

FORMAT = "accord-evidence/v1"
MAX_EVIDENCE = 4 << 20


@dataclass(frozen=True, slots=True)
class LoggedEntry:
    """An entry's exact bytes, its C2SP tlog-proof, and the salt and body that open its commitment."""

    entry: bytes
    proof: str
    salt: bytes
    body: bytes

    def to_json(self) -> dict[str, str]:
        """Entry and body are canonical JSON, hence text; the salt is base64url."""
        return {
            "entry": self.entry.decode(),
            "proof": self.proof,
            "salt": b64url(self.salt),
            "body": self.body.decode(),
        }


@dataclass(frozen=True, slots=True)
class LeasedRecord:
    """A service record's exact bytes and its RFC 9162 inclusion proof in the lease's snapshot."""

    record: bytes
    index: int
    hashes: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        """The record is canonical JSON, hence text; hashes are hexadecimal."""
        return {"record": self.record.decode(), "index": self.index, "hashes": [item.hex() for item in self.hashes]}


@dataclass(frozen=True, slots=True)
class Evidence:
    """The tokens of the exchange in order, its two entries, and the registry's word for the two services."""

    manifest: str
    permit: str
    broker_manifest: str
    acknowledgement: str
    authorization: LoggedEntry
    outcome: LoggedEntry
    lease: str
    sender: LeasedRecord
    recipient: LeasedRecord

    def to_bytes(self) -> bytes:
        """The file's exact bytes."""
        return dumps(
            {
                "format": FORMAT,
                "manifest": self.manifest,
                "permit": self.permit,
                "broker_manifest": self.broker_manifest,
                "acknowledgement": self.acknowledgement,
                "authorization": self.authorization.to_json(),
                "outcome": self.outcome.to_json(),
                "lease": self.lease,
                "sender": self.sender.to_json(),
                "recipient": self.recipient.to_json(),
            }
        )


def parse_evidence(data: bytes) -> Evidence:
    """The evidence that a file holds, nothing of it verified. Raises: FormatError."""
    members = Members(loads_canonical(data, MAX_EVIDENCE), "evidence")
    if members.text("format") != FORMAT:
        raise FormatError(f"not a file of format {FORMAT}")
    evidence = Evidence(
        manifest=members.text("manifest"),
        permit=members.text("permit"),
        broker_manifest=members.text("broker_manifest"),
        acknowledgement=members.text("acknowledgement"),
        authorization=_read_entry(members.object("authorization")),
        outcome=_read_entry(members.object("outcome")),
        lease=members.text("lease"),
        sender=_read_record(members.object("sender")),
        recipient=_read_record(members.object("recipient")),
    )
    members.done()
    return evidence


def _read_entry(members: Members) -> LoggedEntry:
    entry = LoggedEntry(
        members.text("entry").encode(),
        members.text("proof"),
        unb64url(members.text("salt")),
        members.text("body").encode(),
    )
    members.done()
    return entry


def _read_record(members: Members) -> LeasedRecord:
    record = LeasedRecord(
        members.text("record").encode(),
        members.integer("index"),
        tuple(bytes.fromhex(item) for item in members.texts("hashes", HEX_32)),
    )
    members.done()
    return record

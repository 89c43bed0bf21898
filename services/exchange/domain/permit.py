"""Whether the ledger's permit is the one that this exchange needs, before a byte rests on it. Pure."""

import hmac
from hashlib import sha256

from services.exchange.domain.exchange import Authorization, Case
from services.formats.canonical import FormatError
from services.formats.permit import Permit, open_permit
from services.formats.trust import KeyRole, Trust


def check_permit(case: Case, authorization: Authorization, trust: Trust, now_ms: int) -> Permit:
    """The permit, if the ledger signed it for exactly this exchange and this entry. Raises: FormatError."""
    permit = open_permit(authorization.permit, trust.key_of(KeyRole.PERMIT, now_ms))
    manifest, entry = case.manifest, authorization.entry
    expected = (trust.trust_domain, manifest.sender, manifest.recipient, manifest.purpose, case.exchange)
    if (permit.issuer, permit.sender, permit.recipient, permit.purpose, permit.exchange) != expected:
        raise FormatError("the permit is for another exchange")
    if (permit.origin, permit.index, permit.leaf) != (entry.origin, entry.index, entry.leaf.hex()):
        raise FormatError("the permit names another entry")
    if trust.log(entry.origin) is None:
        raise FormatError("the permit's log is not one that TRUST lists: its outcome could not be proven")
    opened = sha256(authorization.salt + authorization.patient.encode()).hexdigest()
    if len(authorization.salt) != 32 or not hmac.compare_digest(opened, permit.subject):
        raise FormatError("the permit is for another patient")
    return permit

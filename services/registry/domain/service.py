"""What the register holds: organisations, what a service applied with, and the service as it stands.

Guarantees that a service's record in the snapshot and its etag are functions of the service alone. Leaves to `admission`
what may be recorded at all.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from services.errors import AccordError, Reason
from services.formats.jwk import VerifyKey
from services.formats.lease import Convention, ServiceRecord
from services.registry.domain.status import APPLIED, Standing, hold


@dataclass(frozen=True, slots=True)
class Organization:
    """The legal person that edits services."""

    name: str
    siren: str
    oid: str
    display_name: str


@dataclass(frozen=True, slots=True)
class RecordedOrganization:
    """An organisation, when it was recorded (milliseconds since 1970), and whether it is suspended.

    `revision` counts its changes from 1.
    """

    organization: Organization
    create_ms: int
    suspended: bool = False
    revision: int = 1

    @property
    def name(self) -> str:
        """The resource name."""
        return self.organization.name

    @property
    def etag(self) -> str:
        """Names this revision (AIP-154)."""
        return hashlib.sha256(f"{self.revision}:{self.name}".encode()).hexdigest()[:16]

    def held(self, etag: str, suspended: bool) -> "RecordedOrganization":
        """The organisation suspended, or no longer; itself when that changes nothing. An empty etag matches any revision.

        Raises: AccordError ETAG_MISMATCH.
        """
        if etag and etag != self.etag:
            raise AccordError(Reason.ETAG_MISMATCH)
        unchanged = suspended == self.suspended
        return self if unchanged else replace(self, suspended=suspended, revision=self.revision + 1)


@dataclass(frozen=True, slots=True)
class Notice:
    """The information shown to the patient before they consent; the convention holds its SHA-256."""

    version: str
    text: str


@dataclass(frozen=True, slots=True)
class Application:
    """What a registrar records of a service; nothing of it changes afterwards."""

    name: str
    organization: str
    display_name: str
    oid: str
    convention: Convention
    notice: Notice
    keys: tuple[VerifyKey, ...]
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A recorded service; `revision` counts its changes from 1."""

    application: Application
    spiffe_id: str
    standing: Standing
    revision: int
    create_ms: int

    @property
    def name(self) -> str:
        """The resource name."""
        return self.application.name

    @property
    def record(self) -> bytes:
        """Its exact bytes in the snapshot."""
        asked = self.application
        return ServiceRecord(
            name=asked.name,
            organization=asked.organization,
            oid=asked.oid,
            status=self.standing.effective,
            spiffe_id=self.spiffe_id,
            endpoint=asked.endpoint,
            convention=asked.convention,
            keys=asked.keys,
        ).to_bytes()

    @property
    def etag(self) -> str:
        """Names this revision: another one, even with equal content, has another etag (AIP-154)."""
        return hashlib.sha256(b"%d:%b" % (self.revision, self.record)).hexdigest()[:16]

    def moved(self, etag: str, move: Callable[[Standing], Standing]) -> "Service":
        """The service after a move; itself when the move changes nothing. An empty etag matches every revision.

        Raises: AccordError ETAG_MISMATCH; what `move` raises.
        """
        if etag and etag != self.etag:
            raise AccordError(Reason.ETAG_MISMATCH)
        standing = move(self.standing)
        return self if standing == self.standing else replace(self, standing=standing, revision=self.revision + 1)


def spiffe_id(name: str, trust_domain: str) -> str:
    """The one transport identity of the service of this name."""
    return f"spiffe://{trust_domain}/service/{name.partition('/')[2]}"


def admit(application: Application, trust_domain: str, now_ms: int, *, held: bool = False) -> Service:
    """The service that an application becomes: applied, under the identity that follows from its name.

    `held`: its organisation is suspended.
    """
    return Service(application, spiffe_id(application.name, trust_domain), hold(APPLIED, held), 1, now_ms)

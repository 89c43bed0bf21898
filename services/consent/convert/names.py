"""External names in and out: every audience has its own, and a name that was never given out names nothing."""

import re

from accord.consent.v1 import consent_service_pb2

from services.consent.domain import commands as c
from services.consent.domain.identifiers import CONSENT, PORTAL, Identifiers
from services.errors import AccordError, Reason
from services.formats.rights import SERVICE_NAME
from services.nomenclature.ins import Ins, parse_ins

REQUEST = "request"
"""The audience of requests' names."""
_REVISION = re.compile(r"(consents/[0-9a-f]{32})/revisions/([1-9][0-9]{0,8})")


class Names:
    """Conversions that need the identifiers' keys, or know whether test identities are allowed."""

    def __init__(self, identifiers: Identifiers, *, allow_test_ins: bool) -> None:
        self._identifiers, self._allow_test_ins = identifiers, allow_test_ins

    def ins(self, message: consent_service_pb2.PatientIdentity) -> Ins:
        """An identity. Raises: AccordError INS_INVALID, INS_TEST_REFUSED."""
        return parse_ins(message.root, message.matricule, allow_test=self._allow_test_ins)

    def profile(self, name: str) -> c.Address:
        """A profile's address. Raises: AccordError RESOURCE_NOT_FOUND."""
        return c.Address(*self._local(PORTAL, name, "profiles/"))

    def consent(self, name: str) -> tuple[int, int]:
        """A consent's shard and local id. Raises: AccordError RESOURCE_NOT_FOUND."""
        return self._local(CONSENT, name, "consents/")

    def revision(self, name: str) -> tuple[int, int, int]:
        """A revision's shard, consent and number. Raises: AccordError RESOURCE_NOT_FOUND."""
        match = _REVISION.fullmatch(name)
        if match is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return *self.consent(match[1]), int(match[2])

    def request(self, name: str) -> tuple[int, int]:
        """A request's shard and local id. Raises: AccordError RESOURCE_NOT_FOUND."""
        return self._local(REQUEST, name, "consentRequests/")

    def _local(self, audience: str, name: str, prefix: str) -> tuple[int, int]:
        identifier = name.removeprefix(prefix)
        found = self._identifiers.decipher(audience, identifier) if name.startswith(prefix) else None
        if found is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return found

    def profile_name(self, address: c.Address) -> str:
        """A profile's name, for the portal."""
        return "profiles/" + self._identifiers.encipher(PORTAL, address.shard, address.patient)

    def consent_name(self, shard: int, consent: int) -> str:
        """A consent's name."""
        return "consents/" + self._identifiers.encipher(CONSENT, shard, consent)

    def request_name(self, shard: int, request: int) -> str:
        """A request's name."""
        return "consentRequests/" + self._identifiers.encipher(REQUEST, shard, request)

    def pseudonym(self, service: str, address: c.Address) -> str:
        """The patient, for one service."""
        return self._identifiers.encipher(service, address.shard, address.patient)

    def patient(self, service: str, pseudonym: str) -> c.Address | None:
        """The patient of a service's pseudonym; None for one that was never given out."""
        found = self._identifiers.decipher(service, pseudonym) if SERVICE_NAME.fullmatch(service) else None
        return c.Address(*found) if found else None

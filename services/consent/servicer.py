"""The RPCs: convert in, one use case, convert out. Who may call what stands in the access policy; errors map themselves."""

import hashlib
from collections.abc import Callable
from functools import partial

import grpc
from accord.consent.v1 import audit_service_pb2 as audit
from accord.consent.v1 import audit_service_pb2_grpc as audit_grpc
from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.consent.v1 import consent_reader_service_pb2_grpc as reader_grpc
from accord.consent.v1 import consent_service_pb2 as consent
from accord.consent.v1 import consent_service_pb2_grpc as consent_grpc
from accord.consent.v1 import decision_service_pb2 as decision
from accord.consent.v1 import decision_service_pb2_grpc as decision_grpc

from services.chassis.identity import current_caller
from services.consent import convert
from services.consent.convert import Convert, Form
from services.consent.domain import commands as c
from services.consent.domain.decision import Permit as Granted
from services.consent.ledger import Ledger
from services.errors import AccordError, Reason, Violation, invalid
from services.formats.jwk import Signer
from services.formats.permit import Permit

Context = grpc.ServicerContext
DEFAULT_PAGE, MAX_PAGE = 100, 500


class ConsentServicer(consent_grpc.ConsentServiceServicer):
    """What the portal writes."""

    def __init__(self, ledger: Ledger, conversions: Convert) -> None:
        self._ledger, self._convert = ledger, conversions

    async def OpenProfile(self, request: consent.OpenProfileRequest, _: Context) -> consent.OpenProfileResponse:
        """Opens a profile."""
        address = await self._ledger.open_profile(c.OpenProfile(self._convert.ins(request.patient)))
        return consent.OpenProfileResponse(profile=self._convert.profile_name(address))

    async def PairPatient(self, request: consent.PairPatientRequest, _: Context) -> consent.PairPatientResponse:
        """Pairs a patient with a service."""
        form = Form()
        service = form.service(request.service, "service")
        form.done()
        address = await self._ledger.pair(c.Pair(self._convert.profile(request.profile), service))
        return consent.PairPatientResponse(patient=self._convert.pseudonym(service, address))

    async def GrantConsent(self, request: consent.GrantConsentRequest, _: Context) -> consent.GrantConsentResponse:
        """Records a consent."""
        granted = await self._ledger.grant(self._convert.grant(request))
        return consent.GrantConsentResponse(consent=self._convert.consent_message(granted))

    async def RevokeConsent(self, request: consent.RevokeConsentRequest, _: Context) -> consent.RevokeConsentResponse:
        """Withdraws a consent."""
        form = Form()
        actor = convert.actor(request.actor, form, "actor")
        form.done()
        place = self._convert.consent(request.name)
        revoked = await self._ledger.revoke(c.Revoke(place.shard, place.patient, actor))
        return consent.RevokeConsentResponse(consent=self._convert.consent_message(revoked))


class ConsentReaderServicer(reader_grpc.ConsentReaderServiceServicer):
    """What portal and services read."""

    def __init__(self, ledger: Ledger, conversions: Convert) -> None:
        self._ledger, self._convert = ledger, conversions

    async def GetConsent(self, request: reader.GetConsentRequest, _: Context) -> reader.GetConsentResponse:
        """Reads a consent; for a service, only its own."""
        place, caller = self._convert.consent(request.name), current_caller()
        found = await self._ledger.read(lambda: self._ledger.find_consent(place.shard, place.patient))
        own = caller.service is None or (found is not None and found.service == f"services/{caller.service}")
        if found is None or not own:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        return reader.GetConsentResponse(consent=self._convert.consent_message(found))


class DecisionServicer(decision_grpc.DecisionServiceServicer):
    """Advice and decisions. A permit is signed once the entry it names is durable, and without the lock."""

    def __init__(
        self,
        ledger: Ledger,
        conversions: Convert,
        permit_signer: Signer,
        trust_domain: str,
        random: Callable[[int], bytes],
    ) -> None:
        self._ledger, self._convert = ledger, conversions
        self._signer, self._trust_domain, self._random = permit_signer, trust_domain, random

    async def Check(self, request: decision.CheckRequest, _: Context) -> decision.CheckResponse:
        """Advice. A service may only ask for itself."""
        form = Form()
        query = self._convert.query(request.query, form)
        resources = convert.resources(request.resources, form)
        form.done()
        caller = current_caller()
        if caller.service is not None and query.service != f"services/{caller.service}":
            raise AccordError(Reason.NOT_PERMITTED)
        return decision.CheckResponse(verdict=convert.verdict(await self._ledger.check(c.Check(query, resources))))

    async def Authorize(self, request: decision.AuthorizeRequest, _: Context) -> decision.AuthorizeResponse:
        """Decides, records, and signs the permit once the record is durable."""
        item = self._convert.authorize(request, current_caller().thumbprint)
        return await self._ledger.authorize(item, partial(self._answer, item))

    def _answer(self, item: c.Authorize, decided: c.Decision) -> decision.AuthorizeResponse:
        response = decision.AuthorizeResponse(
            verdict=convert.verdict(None, decided.told), entry=convert.entry_ref(decided.appended)
        )
        if decided.permit is not None and item.query.address is not None:
            self._sign(response, item, item.query.address, decided.permit, decided)
        return response

    def _sign(
        self,
        response: decision.AuthorizeResponse,
        item: c.Authorize,
        patient: c.Address,
        granted: Granted,
        decided: c.Decision,
    ) -> None:
        query, appended = item.query, decided.appended
        pseudonym, salt = self._convert.pseudonym(query.counterparty, patient), self._random(32)
        permit = Permit(
            issuer=self._trust_domain,
            recipient=query.counterparty,
            subject=hashlib.sha256(salt + pseudonym.encode()).hexdigest(),
            issued_s=decided.now_s,
            expires_s=granted.until_s,
            exchange=item.exchange,
            origin=appended.origin,
            index=appended.index,
            leaf=appended.leaf.hex(),
            sender=query.service,
            purpose=query.purpose,
            thumbprint=item.thumbprint,
        )
        response.permit = permit.sign(self._signer)
        response.counterparty_patient, response.counterparty_salt = pseudonym, salt
        response.permit_expire_time.seconds = permit.expires_s
        response.resources.extend(granted.resources)

    async def RecordOutcome(self, request: decision.RecordOutcomeRequest, _: Context) -> decision.RecordOutcomeResponse:
        """Records an outcome and proves both entries."""
        shard = self._ledger.proofs.shard(request.authorization.origin)
        authorization, outcome = await self._ledger.record_outcome(convert.outcome(request, shard))
        return decision.RecordOutcomeResponse(
            authorization=convert.proven(authorization), outcome=convert.proven(outcome)
        )

    async def RecordRefusal(self, request: decision.RecordRefusalRequest, _: Context) -> decision.RecordRefusalResponse:
        """Records a refusal."""
        appended = await self._ledger.record_refusal(self._convert.refusal(request))
        return decision.RecordRefusalResponse(entry=convert.entry_ref(appended))


class AuditServicer(audit_grpc.AuditServiceServicer):
    """The log and its proofs, read only."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._proofs = ledger, ledger.proofs

    async def GetCheckpoints(self, _: audit.GetCheckpointsRequest, __: Context) -> audit.GetCheckpointsResponse:
        """The latest checkpoint of each shard."""
        return audit.GetCheckpointsResponse(checkpoints=await self._ledger.read(self._proofs.checkpoints))

    async def GetConsistencyProof(
        self, request: audit.GetConsistencyProofRequest, _: Context
    ) -> audit.GetConsistencyProofResponse:
        """Proves one size a prefix of another."""
        hashes = await self._ledger.read(
            lambda: self._proofs.consistency(request.origin, request.old_size, request.new_size)
        )
        return audit.GetConsistencyProofResponse(hashes=hashes)

    async def GetEntry(self, request: audit.GetEntryRequest, _: Context) -> audit.GetEntryResponse:
        """One entry, proven; its opening stays closed."""
        (item,) = await self._ledger.read(lambda: self._proofs.prove(request.origin, [request.index], openings=False))
        return audit.GetEntryResponse(entry=convert.proven(item))

    async def ListEntries(self, request: audit.ListEntriesRequest, _: Context) -> audit.ListEntriesResponse:
        """A page of entries in log order."""
        first, size = _page(request)
        entries = await self._ledger.read(lambda: self._proofs.entries(request.origin, first, size))
        token = str(first + len(entries)) if len(entries) == size else ""
        return audit.ListEntriesResponse(entries=entries, first_index=first, next_page_token=token)


def _page(request: audit.ListEntriesRequest) -> tuple[int, int]:
    token = request.page_token or "0"
    if not (token.isascii() and token.isdigit() and len(token) < 16):
        raise invalid([Violation("page_token", "is not one that was given out")])
    if not 0 <= request.page_size <= MAX_PAGE:
        raise invalid([Violation("page_size", f"must be 1 to {MAX_PAGE}")])
    return int(token), request.page_size or DEFAULT_PAGE

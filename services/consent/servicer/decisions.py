"""Advice and decisions."""

import hashlib
from collections.abc import Callable
from functools import partial

import grpc
from accord.consent.v1 import decision_service_pb2 as decision
from accord.consent.v1 import decision_service_pb2_grpc as decision_grpc

from services.chassis.identity import current_caller
from services.chassis.status import preferred_language
from services.consent.advice import Advice
from services.consent.convert import decisions as convert
from services.consent.convert.form import Form, timestamp
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.decision import Deny
from services.consent.domain.decision import Permit as Granted
from services.consent.horizon import ANY, LATEST, Consistency
from services.consent.ledger import Ledger
from services.consent.past import Past
from services.errors import AccordError, Reason
from services.formats.canonical import HEX_32
from services.formats.jwk import Signer
from services.formats.permit import Permit

Context = grpc.ServicerContext
NOT_YOURS = Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)


class DecisionServicer(decision_grpc.DecisionServiceServicer):
    """Advice and decisions. A permit is signed once the entry it names is durable, and without the lock."""

    def __init__(
        self,
        ledger: Ledger,
        advice: Advice,
        past: Past,
        names: Names,
        permit_signer: Signer,
        trust_domain: str,
        random: Callable[[int], bytes],
    ) -> None:
        self._ledger, self._advice, self._past, self._names = ledger, advice, past, names
        self._signer, self._trust_domain, self._random = permit_signer, trust_domain, random

    async def Check(self, request: decision.CheckRequest, _: Context) -> decision.CheckResponse:
        """Advice. A service may only ask for itself."""
        form = Form()
        query = convert.query(request.query, form, self._names)
        resources, consistency = convert.resources(request.resources, form), convert.consistency(request, form)
        exchange = form.text(request.exchange, HEX_32, "exchange") if request.exchange else ""
        form.done()
        if not _may_ask(query):
            raise AccordError(Reason.NOT_PERMITTED)
        advised = await self._advice.advise((c.Check(query, resources, exchange),), _for_caller(consistency))
        return decision.CheckResponse(verdict=convert.verdict(advised.verdicts[0]), token=advised.token)

    async def BatchCheck(self, request: decision.BatchCheckRequest, _: Context) -> decision.BatchCheckResponse:
        """Advice on several exchanges. What a service asks for another is not permitted, and fails nothing else."""
        queries, consistency = convert.batch(request, self._names)
        own = [c.Check(query) for query in queries if _may_ask(query)]
        advised = await self._advice.advise(own, _for_caller(consistency))
        verdicts = iter(advised.verdicts)
        response = decision.BatchCheckResponse(token=advised.token)
        for item, query in zip(request.items, queries, strict=True):
            verdict = next(verdicts) if _may_ask(query) else NOT_YOURS
            response.items.add(correlation_id=item.correlation_id, verdict=convert.verdict(verdict))
        return response

    async def Explain(self, request: decision.ExplainRequest, context: Context) -> decision.ExplainResponse:
        """Why, now or at a past instant. A service may only ask for itself."""
        query, consistency, read_ms = convert.explain(request, self._names)
        if not _may_ask(query):
            raise AccordError(Reason.NOT_PERMITTED)
        if read_ms is None:
            explained, token = await self._advice.explain(c.Check(query), _for_caller(consistency))
        else:
            explained, token = await self._past.explain(query, read_ms)
        return convert.explanation(explained, token, preferred_language(context.invocation_metadata() or ()))

    async def Authorize(self, request: decision.AuthorizeRequest, _: Context) -> decision.AuthorizeResponse:
        """Decides, records, and signs the permit once the record is durable."""
        item = convert.authorize(request, self._names, current_caller().thumbprint)
        return await self._ledger.authorize(item, partial(self._answer, item))

    def _answer(self, item: c.Authorize, decided: c.Decision) -> decision.AuthorizeResponse:
        appended = decided.appended
        response = decision.AuthorizeResponse(
            verdict=convert.verdict(None, decided.told),
            entry=convert.entry_ref(appended),
            token=self._ledger.token,
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
        pseudonym, salt = self._names.pseudonym(query.counterparty, patient), self._random(32)
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
        if granted.erase_ms is not None:
            response.erase_time.CopyFrom(timestamp(granted.erase_ms))

    async def RecordOutcome(self, request: decision.RecordOutcomeRequest, _: Context) -> decision.RecordOutcomeResponse:
        """Records an outcome and proves both entries."""
        shard = self._ledger.proofs.shard(request.authorization.origin)
        authorization, outcome = await self._ledger.record_outcome(convert.outcome(request, shard))
        return decision.RecordOutcomeResponse(
            authorization=convert.proven(authorization), outcome=convert.proven(outcome)
        )

    async def RecordRefusal(self, request: decision.RecordRefusalRequest, _: Context) -> decision.RecordRefusalResponse:
        """Records a refusal."""
        appended = await self._ledger.do(convert.refusal(request, self._names))
        return decision.RecordRefusalResponse(entry=convert.entry_ref(appended))


def _may_ask(query: c.Query) -> bool:
    """Whether the caller may ask this: a service only for itself."""
    caller = current_caller()
    return caller.service is None or query.service == f"services/{caller.service}"


def _for_caller(consistency: Consistency) -> Consistency:
    """Our own broker's question covers bytes that are on their way: no replica that lags may answer it."""
    if current_caller().service is not None:
        return consistency
    return LATEST if consistency is ANY else Consistency(consistency.least, primary=True)

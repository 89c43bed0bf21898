"""The patient portal's signature: what a patient decided, asserted towards the ledger (docs/formats.md, Grant assertion)."""

from collections.abc import Callable
from dataclasses import dataclass

from accord.consent.v1 import consent_pb2

from services.consent.convert.form import Form
from services.formats.assertion import Act, GrantAssertion
from services.formats.jwk import Signer


@dataclass(frozen=True, slots=True)
class PortalHand:
    """Signs with the portal's key; `now_s` reads the clock, in seconds since 1970."""

    signer: Signer
    trust_domain: str
    now_s: Callable[[], int]

    def grant(self, consent: consent_pb2.Consent, profile: str, jti: str) -> str:
        """The assertion of a grant; `jti` is its request id, or the name of the request that it answers."""
        return self._sign(Act.GRANT, consent, jti, consent.actor, profile=profile)

    def amend(self, consent: consent_pb2.Consent, service: str, request_id: str) -> str:
        """The assertion of an amendment: the consent as it shall be."""
        amended = consent_pb2.Consent()
        amended.CopyFrom(consent)
        amended.service = service
        return self._sign(Act.AMEND, amended, request_id, consent.actor, consent=consent.name)

    def resume(self, consent: consent_pb2.Consent, actor: consent_pb2.Actor) -> str:
        """The assertion of a resumption: the consent as it was read."""
        revision = f"{consent.name}/revisions/{consent.revision}"
        return self._sign(Act.RESUME, consent, revision, actor, consent=consent.name)

    def _sign(
        self,
        act: Act,
        decided: consent_pb2.Consent,
        jti: str,
        by: consent_pb2.Actor,
        profile: str = "",
        consent: str = "",
    ) -> str:
        form = Form()
        actor = form.actor(by, "actor")
        start_ms = form.optional_instant(decided, "start_time") if act is Act.GRANT else None
        assertion = GrantAssertion(
            issuer=self.trust_domain,
            jti=jti,
            issued_s=self.now_s(),
            act=act,
            service=form.service(decided.service, "service"),
            scope=form.scope(decided.scope, "scope"),
            start_ms=start_ms,
            end_ms=form.instant(decided.end_time, "end_time"),
            limits=form.limits(decided.limits, "limits").to_json(),
            notice_sha256=decided.notice_sha256,
            role=actor.role,
            authentication=actor.authentication,
            person=actor.person,
            profile=profile,
            consent=consent,
        )
        form.done()
        return assertion.sign(self.signer)

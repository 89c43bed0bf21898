"""Consents under the shard's lock: granted, amended, suspended, resumed, revoked. Gather → decide → append.

Each handler refuses before it has written anything for its item. A withdrawal and a suspension need no lease and no open
profile: nothing may delay them. The clock decides before the sweeper does (`domain.by_clock`): what has expired neither
moves nor changes.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.consent.domain import commands as c
from services.consent.domain.by_clock import by_clock, is_unconfirmed, taken_up
from services.consent.domain.lifecycle import FINAL, ConsentState, consent_moves
from services.consent.domain.terms import Effect, Limits
from services.consent.locked import Locked, draft
from services.consent.profiles import check_actor, pair, require_active, require_profile, require_referenced
from services.consent.requests import DECIDED
from services.consent.revisions import Revisions
from services.consent.store import consents, patients
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.canonical import dumps
from services.formats.entry import EntryType
from services.formats.lease import ServiceRecord
from services.formats.times import text_of

MAX_CONSENTS, MAX_TERMS = 256, 384 << 10
"""Consents of one patient for one service, ended ones included, and the bytes of their terms: a decision rests on those of
both services, and have their limit."""
_OWN_CAUSES = frozenset({c.HOLDER, c.REPRESENTATIVE})


class ConsentHandlers:
    """What the portal asks for; `random_bits(n)` makes local ids."""

    def __init__(self, vault: Vault, revisions: Revisions, random_bits: Callable[[int], int]) -> None:
        self._vault, self._revisions, self._random_bits = vault, revisions, random_bits

    def grant(self, locked: Locked, item: c.Grant) -> c.Consent:
        """Records a consent within the service's convention; the same request again answers the same consent."""
        used = consents.find_request(locked.connection, item.address, item.request_id)
        if used is not None:
            return self._repeated(locked, item, *used)
        profile = require_active(locked, item.address)
        check_actor(locked.connection, self._vault, profile, item.actor, locked.now_ms)
        _check_secret(item.actor, item.limits)
        if item.until_ms is not None and locked.now_ms >= item.until_ms:
            raise AccordError(Reason.REQUEST_EXPIRED)
        start_ms = locked.now_ms if item.start_ms is None else item.start_ms
        limits = item.limits
        if item.actor.role == c.REPRESENTATIVE:
            limits = replace(limits, confirm_ms=profile.majority_ms)
        consent = c.Consent(
            shard=locked.shard,
            consent=locked.new_id(self._random_bits),
            patient=item.address.patient,
            service=item.service,
            scope=item.scope,
            start_ms=start_ms,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            actor=item.actor,
            state=ConsentState.ACTIVE,
            revision=1,
            limits=limits,
        )
        _check_terms(locked, consent)
        self._check_place(locked, item)
        _check_room(locked, consent)
        if item.validate_only:
            return consent
        if item.pairs:
            pair(locked, item.address, item.service)
        consents.add_request(locked.connection, consent, item.request_id, item.digest)
        return self._revisions.grant(locked, consent, item.assertion)

    def _repeated(self, locked: Locked, item: c.Grant, digest: str, consent: int) -> c.Consent:
        """What the same request made, for who may see it. Raises: AccordError."""
        known = consents.find_consent(locked.connection, item.address.shard, consent)
        check_actor(locked.connection, self._vault, require_profile(locked, item.address), item.actor, locked.now_ms)
        if known is not None and known.hidden_from(item.actor):
            if item.pairs:
                raise AccordError(Reason.STATE_CONFLICT, DECIDED)
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        if known is None or digest != item.digest:
            raise AccordError(Reason.REQUEST_ID_REUSED)
        return known

    @staticmethod
    def _check_place(locked: Locked, item: c.Grant) -> None:
        if not item.pairs and patients.find_subject(locked.connection, item.address, item.service) is None:
            raise AccordError(Reason.STATE_CONFLICT, "patient and service are not paired")

    def amend(self, locked: Locked, item: c.Amend) -> c.Consent:
        """Changes what an active consent covers; the same request again answers the consent as it stands."""
        consent = self._find(locked, item.shard, item.consent, item.actor)
        address = c.Address(consent.shard, consent.patient)
        used = consents.find_request(locked.connection, address, item.request_id)
        if used is not None:
            if used[0] != item.digest or used[1] != item.consent:
                raise AccordError(Reason.REQUEST_ID_REUSED)
            return consent
        _check_etag(consent, item.etag)
        profile = require_active(locked, address)
        if by_clock(consent, locked.now_ms).state is not ConsentState.ACTIVE:
            raise AccordError(Reason.STATE_CONFLICT, "only an active consent is amended")
        if item.limits.effect is not consent.limits.effect:
            raise AccordError(Reason.STATE_CONFLICT, "what gives does not become what refuses, nor the reverse")
        _check_secret(item.actor, item.limits)
        confirm_ms = profile.majority_ms if item.actor.role == c.REPRESENTATIVE else None
        amended = replace(
            consent,
            scope=item.scope,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            actor=item.actor,
            limits=replace(item.limits, confirm_ms=confirm_ms),
        )
        _check_terms(locked, amended)
        _check_room(locked, amended)
        if item.validate_only:
            return amended
        consents.add_request(locked.connection, consent, item.request_id, item.digest)
        return self._revisions.amend(locked, amended, item.assertion)

    def move(self, locked: Locked, item: c.MoveConsent) -> c.Consent:
        """Suspends, resumes or revokes; a repeat changes nothing."""
        consent = self._find(locked, item.shard, item.consent, item.actor)
        now = by_clock(consent, locked.now_ms)
        if now.state is item.to and not _takes_over(now, item):
            return now
        _check_etag(consent, item.etag)
        consent_moves(now.state, item.to)
        if item.to is ConsentState.ACTIVE:
            _check_resumable(locked, now, item.actor)
            if item.seen is not None and item.seen not in taken_up(now):
                raise AccordError(
                    Reason.ETAG_MISMATCH, "the consent was suspended again since the assertion was signed"
                )
            consent = _confirmed(self._revisions.settle(locked, consent), item.actor, locked.now_ms)
        return self._revisions.move(
            locked, consent, item.to, item.actor, cause=item.actor.role, why=item.why, assertion=item.assertion
        )

    def _find(self, locked: Locked, shard: int, consent: int, actor: c.Actor) -> c.Consent:
        found = consents.find_consent(locked.connection, shard, consent)
        if found is None or found.hidden_from(actor):
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        profile = require_profile(locked, c.Address(shard, found.patient))
        check_actor(locked.connection, self._vault, profile, actor, locked.now_ms)
        return found

    def record_notice(self, locked: Locked, item: c.RecordNotice) -> c.Consent:
        """Records that the patient was told of a revision."""
        consent = consents.find_consent(locked.connection, item.shard, item.consent)
        if consent is None or c.Address(consent.shard, consent.patient) != item.address:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        if not 1 <= item.revision <= consent.revision:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        if item.sent_ms > locked.now_ms:
            raise AccordError(Reason.STATE_CONFLICT, "a notice of the future is not sent yet")
        body = {"channel": item.channel, "sent": text_of(item.sent_ms)}
        told = replace(consent, revision=item.revision)
        self._append_about(locked, told, EntryType.NOTICE_SENT, "portal", body)
        return consent

    def acknowledge(self, locked: Locked, item: c.AcknowledgeRevocation) -> int:
        """Records that the service has noted an end, once; answers when (milliseconds)."""
        consent = consents.find_consent(locked.connection, item.shard, item.consent)
        if consent is None or consent.service != item.service:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        known = consents.acknowledged(locked.connection, item.shard, item.consent)
        if known is not None:
            return known
        if by_clock(consent, locked.now_ms).state not in FINAL:
            raise AccordError(Reason.STATE_CONFLICT, "the consent has not ended")
        consent = self._revisions.settle(locked, consent)
        self._append_about(locked, consent, EntryType.REVOCATION_ACKNOWLEDGED, "service", {})
        consents.acknowledge(locked.connection, item.shard, item.consent, locked.now_ms)
        return locked.now_ms

    def _append_about(
        self, locked: Locked, consent: c.Consent, type_: EntryType, actor: str, body: dict[str, Any]
    ) -> None:
        address = c.Address(consent.shard, consent.patient)
        clear: dict[str, Any] = {
            "subject": patients.find_subject(locked.connection, address, consent.service) or "",
            "service": consent.service,
            "resources": (self._revisions.name(consent),),
        }
        locked.append(draft(type_, actor, body, consent.patient, **clear))


def _takes_over(consent: c.Consent, item: c.MoveConsent) -> bool:
    """Whether this suspension outlasts the one that stands: the platform resumes only what nobody else wants paused."""
    if item.to is not ConsentState.SUSPENDED:
        return False
    over = {c.HOLDER: (c.PLATFORM, c.REPRESENTATIVE), c.REPRESENTATIVE: (c.PLATFORM,)}
    return consent.cause in over.get(item.actor.role, ())


def _check_resumable(locked: Locked, consent: c.Consent, actor: c.Actor) -> None:
    """Who suspended it, or the holder, resumes it; what the platform suspended, the platform. Raises: AccordError."""
    require_active(locked, c.Address(consent.shard, consent.patient))
    if consent.cause == c.PLATFORM:
        raise AccordError(Reason.STATE_CONFLICT, "the platform suspended this consent with the profile")
    if actor.role == c.REPRESENTATIVE and consent.cause != c.REPRESENTATIVE:
        raise AccordError(Reason.STATE_CONFLICT, "only the holder resumes this consent")


def _confirmed(consent: c.Consent, actor: c.Actor, now_ms: int) -> c.Consent:
    """The consent as it resumes: confirmed by the holder, where it waited for that."""
    waited = consent.cause not in _OWN_CAUSES or is_unconfirmed(consent, now_ms)
    confirmed = actor.role == c.HOLDER and waited
    return replace(consent, limits=replace(consent.limits, confirm_ms=None)) if confirmed else consent


def _check_etag(consent: c.Consent, etag: str) -> None:
    if etag and etag != consent.etag:
        raise AccordError(Reason.ETAG_MISMATCH)


def _check_secret(actor: c.Actor, limits: Limits) -> None:
    if limits.secret and actor.role != c.HOLDER:
        raise AccordError(Reason.STATE_CONFLICT, "only the holder keeps a consent secret")


def _check_terms(locked: Locked, consent: c.Consent) -> None:
    """A right stays within the convention; a refusal needs none."""
    if not consent.start_ms < consent.end_ms or consent.end_ms <= locked.now_ms:
        raise AccordError(Reason.STATE_CONFLICT, "the consent would have ended already")
    if consent.limits.effect is Effect.PERMIT:
        _within_convention(require_referenced(locked, consent.service), consent, locked.now_ms)


def _check_room(locked: Locked, consent: c.Consent) -> None:
    others, size = consents.measure_others(locked.connection, consent)
    size += len(dumps(consent.scope.to_json())) + len(dumps(consent.limits.to_json()))
    if others >= MAX_CONSENTS or size > MAX_TERMS:
        raise AccordError(Reason.STATE_CONFLICT, "the patient has given this service too many consents")


def _within_convention(record: ServiceRecord, consent: c.Consent, now_ms: int) -> None:
    convention = record.convention
    if not convention.in_force(now_ms):
        raise AccordError(Reason.CONVENTION_NOT_IN_FORCE)
    inside = convention.start_ms <= consent.start_ms and consent.end_ms <= convention.end_ms
    if not inside or not consent.scope.within(convention.scope):
        raise AccordError(Reason.CONVENTION_EXCEEDED)
    if consent.notice_sha256 != convention.notice_sha256:
        raise AccordError(Reason.STATE_CONFLICT, "the notice shown is not the convention's")

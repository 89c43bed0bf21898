"""Profiles, pairings and consents under the shard's lock: gather → decide → append.

Each handler refuses before it has written anything for its item. Leaves deciding exchanges to `exchanges`.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from services.consent import store
from services.consent.domain import commands as c
from services.consent.domain.decision import ConsentState, ProfileStatus
from services.consent.domain.identifiers import LOCAL_BITS, Identifiers
from services.consent.locked import IDENTITY_YEAR, Locked, draft
from services.consent.vault import Vault, subject_of
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.lease import ServiceRecord, Status
from services.formats.times import text_of

_PROFILE = "profile"
MAX_CONSENTS = 256
"""Consents of one patient for one service, ended ones included: a decision's body holds them all, and has its limit."""


class ConsentHandlers:
    """What the portal asks for; `random_bits(n)` makes local ids."""

    def __init__(self, vault: Vault, identifiers: Identifiers, random_bits: Callable[[int], int]) -> None:
        self._vault, self._identifiers, self._random_bits = vault, identifiers, random_bits

    def open_profile(self, locked: Locked, item: c.OpenProfile) -> c.Address:
        """Opens a profile, or finds it."""
        ins_hash = self._vault.ins_hash(item.ins)
        known = store.find_patient(locked.connection, locked.shard, ins_hash)
        if known is not None:
            return c.Address(locked.shard, known)
        address = c.Address(locked.shard, self._random_bits(LOCAL_BITS))
        key = locked.key(address.patient, IDENTITY_YEAR)
        store.add_patient(locked.connection, address, ins_hash, self._vault.seal_ins(key, item.ins))
        subject = subject_of(key, _PROFILE)
        locked.append(draft(EntryType.PROFILE_OPENED, "portal", {}, address.patient, subject=subject))
        return address

    def pair(self, locked: Locked, item: c.Pair) -> c.Address:
        """Pairs a patient with a referenced service, once."""
        _require_open(locked, item.address)
        _referenced(locked, item.service)
        if store.find_subject(locked.connection, item.address, item.service) is None:
            subject = subject_of(locked.key(item.address.patient, IDENTITY_YEAR), item.service)
            store.add_pairing(locked.connection, item.address, item.service, subject)
            clear: dict[str, Any] = {"subject": subject, "service": item.service}
            locked.append(draft(EntryType.PAIRING_CREATED, "portal", {}, item.address.patient, **clear))
        return item.address

    def grant(self, locked: Locked, item: c.Grant) -> c.Consent:
        """Records a consent within the service's convention; the same request again answers the same consent."""
        used = store.find_request(locked.connection, item.address, item.request_id)
        if used is not None:
            return _repeated(locked, item, *used)
        _require_open(locked, item.address)
        subject = store.find_subject(locked.connection, item.address, item.service)
        if subject is None:
            raise AccordError(Reason.STATE_CONFLICT, "patient and service are not paired")
        if store.count_consents(locked.connection, item.address, item.service) >= MAX_CONSENTS:
            raise AccordError(Reason.STATE_CONFLICT, "the patient has given this service too many consents")
        start_ms = locked.now_ms if item.start_ms is None else item.start_ms
        _within_convention(_referenced(locked, item.service), item, start_ms, locked.now_ms)
        consent = c.Consent(
            shard=locked.shard,
            consent=self._random_bits(LOCAL_BITS),
            patient=item.address.patient,
            service=item.service,
            scope=item.scope,
            start_ms=start_ms,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            actor=item.actor,
            state=ConsentState.ACTIVE,
            revision=1,
        )
        index = self._append_revision(locked, consent, EntryType.CONSENT_GRANTED, subject, item.actor)
        store.add_consent(locked.connection, consent, index, item.request_id, item.digest)
        return consent

    def revoke(self, locked: Locked, item: c.Revoke) -> c.Consent:
        """Withdraws a consent: needs no lease, for nothing may delay a withdrawal. A repeat changes nothing."""
        consent = store.find_consent(locked.connection, item.shard, item.consent)
        if consent is None:
            raise AccordError(Reason.RESOURCE_NOT_FOUND)
        if consent.state is ConsentState.REVOKED:
            return consent
        revoked = replace(consent, state=ConsentState.REVOKED, revision=consent.revision + 1)
        address = c.Address(item.shard, consent.patient)
        subject = store.find_subject(locked.connection, address, consent.service) or ""
        index = self._append_revision(locked, revoked, EntryType.CONSENT_REVOKED, subject, item.actor)
        store.update_consent(locked.connection, revoked, index)
        return revoked

    def _append_revision(
        self, locked: Locked, consent: c.Consent, type_: EntryType, subject: str, actor: c.Actor
    ) -> int:
        body = {
            "authentication": actor.authentication,
            "end": text_of(consent.end_ms),
            "notice_sha256": consent.notice_sha256,
            "scope": consent.scope.to_json(),
            "start": text_of(consent.start_ms),
        }
        clear: dict[str, Any] = {
            "subject": subject,
            "service": consent.service,
            "resources": (self._identifiers.revision_name(consent.shard, consent.consent, consent.revision),),
        }
        if type_ is EntryType.CONSENT_GRANTED:
            clear["until_ms"] = consent.end_ms
        return locked.append(draft(type_, actor.role, body, consent.patient, **clear)).index


def _require_open(locked: Locked, address: c.Address) -> None:
    status = store.profile_status(locked.connection, address)
    if status is None:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    if status is not ProfileStatus.OPEN:
        raise AccordError(Reason.PROFILE_NOT_OPEN)


def _referenced(locked: Locked, service: str) -> ServiceRecord:
    record = locked.lease().services.get(service)
    if record is not None and record.status is Status.SUSPENDED:
        raise AccordError(Reason.SERVICE_SUSPENDED)
    if record is None or record.status is not Status.REFERENCED_WITH_EXCHANGE:
        raise AccordError(Reason.SERVICE_NOT_REFERENCED)
    return record


def _within_convention(record: ServiceRecord, item: c.Grant, start_ms: int, now_ms: int) -> None:
    convention = record.convention
    if not convention.in_force(now_ms):
        raise AccordError(Reason.CONVENTION_NOT_IN_FORCE)
    inside = convention.start_ms <= start_ms < item.end_ms <= convention.end_ms
    if not inside or not item.scope.within(convention.scope):
        raise AccordError(Reason.CONVENTION_EXCEEDED)
    if item.notice_sha256 != convention.notice_sha256:
        raise AccordError(Reason.STATE_CONFLICT, "the notice shown is not the convention's")


def _repeated(locked: Locked, item: c.Grant, digest: str, consent: int) -> c.Consent:
    known = store.find_consent(locked.connection, item.address.shard, consent)
    if digest != item.digest or known is None:
        raise AccordError(Reason.REQUEST_ID_REUSED)
    return known

"""Profiles, identities, representatives and pairings under the shard's lock: gather → decide → append.

Each handler refuses before it has written anything for its item. Leaves a profile's moves to `moves`.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ProfileStatus, profile_after
from services.consent.locked import IDENTITY_YEAR, Locked, draft
from services.consent.store import patients
from services.consent.vault import Vault, subject_of
from services.errors import AccordError, Reason
from services.formats.entry import EntryType
from services.formats.lease import ServiceRecord, Status

PROFILE = "profile"
"""The audience that stands for the patient alone in the log."""
OPT_OUT_MS = 42 * 86_400_000
"""Six weeks between information and opening (R1111-28)."""


class ProfileHandlers:
    """What the portal asks for; `random_bits(n)` makes local ids."""

    def __init__(self, vault: Vault, random_bits: Callable[[int], int]) -> None:
        self._vault, self._random_bits = vault, random_bits

    def open_profile(self, locked: Locked, item: c.OpenProfile) -> c.Profile | c.Address:
        """Opens a profile, or finds it; an address alone when the identity is an alias that leads to another shard."""
        ins_hash = self._vault.ins_hash(item.ins)
        known = patients.find_patient(locked.connection, locked.shard, ins_hash)
        if known is not None:
            return require_profile(locked, c.Address(locked.shard, known))
        alias = patients.find_alias(locked.connection, locked.shard, ins_hash)
        if alias is not None:
            return alias
        address = c.Address(locked.shard, locked.new_id(self._random_bits))
        type_ = EntryType.PROFILE_INFORMED if item.opt_out else EntryType.PROFILE_OPENED
        opens_ms = locked.now_ms + OPT_OUT_MS if item.opt_out else None
        profile = c.Profile(address, profile_after(None, type_), opens_ms, item.majority_ms)
        sealed = self._vault.seal_ins(locked.key(address.patient, IDENTITY_YEAR), item.ins)
        patients.add_patient(locked.connection, profile, ins_hash, sealed)
        append_profile_entry(locked, address, type_, c.Actor("portal", ""))
        return profile

    def claim_alias(self, locked: Locked, item: c.ClaimAlias) -> c.Address:
        """Claims an identity for a patient, in the identity's own shard. Raises: STATE_CONFLICT where it is another's."""
        ins_hash = self._vault.ins_hash(item.ins)
        local = patients.find_patient(locked.connection, locked.shard, ins_hash)
        owner = c.Address(locked.shard, local) if local is not None else None
        owner = owner or patients.find_alias(locked.connection, locked.shard, ins_hash)
        if owner is None:
            patients.add_alias(locked.connection, locked.shard, ins_hash, item.address)
        elif owner != item.address:
            raise AccordError(Reason.STATE_CONFLICT, "this identity has a profile of its own")
        return item.address

    def add_identity(self, locked: Locked, item: c.AddIdentity) -> c.Address:
        """Records a claimed identity beside its patient, once."""
        require_profile(locked, item.address)
        ins_hash = self._vault.ins_hash(item.ins)
        own = patients.find_patient(locked.connection, locked.shard, ins_hash) == item.address.patient
        if not own and ins_hash not in patients.identities(locked.connection, item.address):
            sealed = self._vault.seal_ins(locked.key(item.address.patient, IDENTITY_YEAR), item.ins)
            patients.add_identity(locked.connection, item.address, ins_hash, sealed)
            append_profile_entry(locked, item.address, EntryType.PROFILE_ALIASED, c.Actor("portal", ""))
        return item.address

    def represent(self, locked: Locked, item: c.Represent) -> c.Address:
        """Records who may, or no longer may, act for a minor; a repeat changes nothing."""
        profile = require_profile(locked, item.address)
        if item.allowed and (profile.majority_ms is None or profile.majority_ms <= locked.now_ms):
            raise AccordError(Reason.STATE_CONFLICT, "only a minor has representatives")
        person = self._vault.person_hash(item.person)
        if patients.represents(locked.connection, item.address, person) is not item.allowed:
            patients.set_representative(locked.connection, item.address, person, item.allowed)
            type_ = EntryType.REPRESENTATIVE_ADDED if item.allowed else EntryType.REPRESENTATIVE_REMOVED
            append_profile_entry(locked, item.address, type_, c.Actor("portal", "", item.person))
        return item.address

    def pair(self, locked: Locked, item: c.Pair) -> c.Address:
        """Pairs a patient with a referenced service, once."""
        require_active(locked, item.address)
        require_referenced(locked, item.service)
        pair(locked, item.address, item.service)
        return item.address


def pair(locked: Locked, address: c.Address, service: str) -> None:
    """The pairing, made unless it was."""
    if patients.find_subject(locked.connection, address, service) is None:
        subject = subject_of(locked.key(address.patient, IDENTITY_YEAR), service)
        patients.add_pairing(locked.connection, address, service, subject)
        clear: dict[str, Any] = {"subject": subject, "service": service}
        locked.append(draft(EntryType.PAIRING_CREATED, "portal", {}, address.patient, **clear))


def append_profile_entry(
    locked: Locked, address: c.Address, type_: EntryType, actor: c.Actor, why: str = "", **clear: Any
) -> None:
    """An entry about the patient alone; what the actor is called, and why they act, is in the body."""
    members = {"authentication": actor.authentication, "person": actor.person, "why": why}
    body = {name: value for name, value in members.items() if value}
    subject = subject_of(locked.key(address.patient, IDENTITY_YEAR), PROFILE)
    locked.append(draft(type_, actor.role, body, address.patient, subject=subject, **clear))


def require_profile(locked: Locked, address: c.Address) -> c.Profile:
    """The profile. Raises: AccordError RESOURCE_NOT_FOUND, also for what was erased."""
    profile = patients.find_profile(locked.connection, address)
    if profile is None or profile.status is ProfileStatus.ERASED:
        raise AccordError(Reason.RESOURCE_NOT_FOUND)
    return profile


def require_active(locked: Locked, address: c.Address) -> c.Profile:
    """The profile, which is active. Raises: AccordError RESOURCE_NOT_FOUND, PROFILE_SUSPENDED, PROFILE_NOT_OPEN."""
    profile = require_profile(locked, address)
    if profile.status is ProfileStatus.SUSPENDED:
        raise AccordError(Reason.PROFILE_SUSPENDED)
    if profile.status is not ProfileStatus.ACTIVE:
        raise AccordError(Reason.PROFILE_NOT_OPEN)
    return profile


def check_actor(connection: Connection, vault: Vault, profile: c.Profile, actor: c.Actor, now_ms: int) -> None:
    """A representative acts for a minor only, and only when recorded. Raises: AccordError STATE_CONFLICT."""
    if actor.role != c.REPRESENTATIVE:
        return
    minor = profile.majority_ms is not None and now_ms < profile.majority_ms
    if not minor or not patients.represents(connection, profile.address, vault.person_hash(actor.person)):
        raise AccordError(Reason.STATE_CONFLICT, "this person does not act for the patient")


def require_referenced(locked: Locked, service: str) -> ServiceRecord:
    """The service's record. Raises: AccordError SERVICE_SUSPENDED, SERVICE_NOT_REFERENCED, REGISTRY_STALE."""
    record = locked.lease().services.get(service)
    if record is not None and record.status is Status.SUSPENDED:
        raise AccordError(Reason.SERVICE_SUSPENDED)
    if record is None or record.status is not Status.REFERENCED_WITH_EXCHANGE:
        raise AccordError(Reason.SERVICE_NOT_REFERENCED)
    return record

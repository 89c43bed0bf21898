"""Patients' keys and identities: every key unwraps for its owner and use, every identity opens and is found by its hash.

Nothing of this stands in the log: it is checked against itself, with the secrets, and against the patients that there are.
"""

from typing import Any

from sqlalchemy import select

from services.consent.domain.lifecycle import ProfileStatus
from services.consent.integrity.case import Case, Secrets, row_of
from services.consent.integrity.profiles import ERASED
from services.consent.locked import DATA_KEY, IDENTITY_YEAR, NOBODY
from services.consent.profiles import PROFILE
from services.consent.store.facts import IDENTITY, PAIRING, PATIENT
from services.consent.store.patients import ALIAS
from services.consent.vault import Use, subject_of

_SUBJECT = "SELECT subject FROM profile WHERE patient = ?"


class Identities:
    """Reads one shard's keys, identities and directory, after `profiles` has followed its log."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def check(self) -> None:
        """Finds keys and identities that do not hold."""
        case = self._case
        key = (DATA_KEY.c.patient, DATA_KEY.c.year, DATA_KEY.c.use)
        for row in case.rows(select(DATA_KEY).where(DATA_KEY.c.shard == case.shard), *key):
            self._check_key(row)
        for row in case.rows(select(PATIENT).where(PATIENT.c.shard == case.shard), PATIENT.c.id):
            self._check_patient(row)
        directory = (IDENTITY.c.patient, IDENTITY.c.ins_hash)
        for row in case.rows(select(IDENTITY).where(IDENTITY.c.shard == case.shard), *directory):
            self._check_identity(row)
        for row in case.rows(select(ALIAS).where(ALIAS.c.shard == case.shard), ALIAS.c.ins_hash):
            self._check_alias(row)

    def _check_key(self, row: Any) -> None:
        case, key = self._case, {"patient": row.patient, "year": row.year, "use": row.use}
        with case.findings.guard(DATA_KEY.name, case.shard, row=row_of(**key)):
            use = Use(row.use)
            if row.patient != NOBODY and self._status(case.shard, row.patient) is None:
                case.keyed(DATA_KEY, "of no patient", **key)
            if use is Use.RECORD and case.scratch.execute(ERASED, (row.patient,)).fetchone():
                case.keyed(DATA_KEY, "of a patient who was erased", **key)
            if case.secrets is not None:
                case.secrets.vault.unwrap(bytes(row.wrapped), row.shard, row.patient, row.year, use)

    def _check_patient(self, row: Any) -> None:
        case, secrets = self._case, self._case.secrets
        if secrets is None or row.status == ProfileStatus.ERASED.value:
            return
        with case.findings.guard(PATIENT.name, case.shard, row=row_of(id=row.id)):
            key = self._identity_key(secrets, row.id)
            self._check_ins(secrets, PATIENT, key, row, id=row.id)
            if int.from_bytes(bytes(row.ins_hash)[:4]) % case.shards != case.shard:
                case.keyed(PATIENT, "ins_hash: leads to another shard", id=row.id)
            said = case.scratch.execute(_SUBJECT, (row.id,)).fetchone()
            if said is not None and said[0] != subject_of(key, PROFILE):
                case.keyed(DATA_KEY, "not the key of the patient's subject", patient=row.id, year=IDENTITY_YEAR)
            where = (PAIRING.c.shard == case.shard, PAIRING.c.patient == row.id)
            for pairing in case.connection.execute(select(PAIRING.c.service, PAIRING.c.subject).where(*where)):
                if pairing.subject != subject_of(key, pairing.service):
                    case.keyed(PAIRING, "subject: not the patient's", patient=row.id, service=pairing.service)
        self._check_count(row)

    def _check_count(self, row: Any) -> None:
        where = (IDENTITY.c.shard == self._case.shard, IDENTITY.c.patient == row.id)
        found = self._case.connection.execute(select(IDENTITY.c.ins_hash).where(*where)).all()
        if len(found) != row.aliases:
            self._case.keyed(IDENTITY, "not as many as the patient has", patient=row.id)

    def _check_identity(self, row: Any) -> None:
        case, key = self._case, {"patient": row.patient, "ins_hash": row.ins_hash}
        status = self._status(case.shard, row.patient)
        if status is None or status == ProfileStatus.ERASED.value:
            case.keyed(IDENTITY, "of no patient", **key)
            return
        home = int.from_bytes(bytes(row.ins_hash)[:4]) % case.shards
        where = (ALIAS.c.shard == home, ALIAS.c.ins_hash == row.ins_hash)
        found = case.connection.execute(select(ALIAS.c.to_shard, ALIAS.c.to_patient).where(*where)).first()
        if found is None or tuple(found) != (case.shard, row.patient):
            case.keyed(IDENTITY, "the directory does not lead from it to its patient", **key)
        if case.secrets is not None:
            with case.findings.guard(IDENTITY.name, case.shard, row=row_of(**key)):
                self._check_ins(case.secrets, IDENTITY, self._identity_key(case.secrets, row.patient), row, **key)

    def _check_alias(self, row: Any) -> None:
        case = self._case
        status = self._status(row.to_shard, row.to_patient)
        if status is None:
            case.keyed(ALIAS, "leads to no patient", ins_hash=row.ins_hash)
        elif status == ProfileStatus.ERASED.value:
            case.findings.note("an erased patient's identity is still in the directory: repeat the erasure")
        if int.from_bytes(bytes(row.ins_hash)[:4]) % case.shards != case.shard:
            case.keyed(ALIAS, "ins_hash: leads to another shard", ins_hash=row.ins_hash)

    def _check_ins(self, secrets: Secrets, table: Any, key: bytes, row: Any, **named: Any) -> None:
        if not secrets.vault.is_ins(bytes(row.ins_hash), secrets.vault.open_ins(key, bytes(row.ins_sealed))):
            self._case.keyed(table, "ins_hash: not of the sealed identity", **named)

    def _identity_key(self, secrets: Secrets, patient: int) -> bytes:
        """Raises: ValueError where there is none, InvalidTag."""
        shard = self._case.shard
        where = (DATA_KEY.c.patient == patient, DATA_KEY.c.year == IDENTITY_YEAR, DATA_KEY.c.use == Use.RECORD.value)
        wrapped = self._case.connection.execute(
            select(DATA_KEY.c.wrapped).where(DATA_KEY.c.shard == shard, *where)
        ).scalar()
        if wrapped is None:
            raise ValueError("the key of the identity is missing")
        return secrets.vault.unwrap(bytes(wrapped), shard, patient, IDENTITY_YEAR)

    def _status(self, shard: int, patient: int) -> str | None:
        where = (PATIENT.c.shard == shard, PATIENT.c.id == patient)
        status: str | None = self._case.connection.execute(select(PATIENT.c.status).where(*where)).scalar()
        return status

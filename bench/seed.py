"""The seeded ledger: every patient with an open profile, paired and consenting with a sender and a recipient.

Guarantees that rows and log are what the consent process itself would have written: they come from its own handlers, under
its own lock, many patients a transaction (`newcomers`), with the lease of a real registry; and that how long each
transaction took is recorded with them. Leaves to `seeded` what becomes of the folder.
"""

import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from sqlalchemy import Connection

from bench.newcomers import Newcomers
from bench.seeded import Mark, Patient, log_signer, mark_seeded, vault
from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.db import Database
from services.chassis.identity import Identity
from services.chassis.keys import derive, load_secret, load_signer
from services.chassis.registry import RegistryView, Snapshot
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.identifiers import Identifiers
from services.consent.handlers import build_handlers
from services.consent.indexing import Indexer
from services.consent.locked import Locked
from services.consent.migrations.start import prepare
from services.consent.proofs import Proofs
from services.consent.shard import ShardLog
from services.ctl import keys
from services.ctl.partners import Partner
from services.ctl.people import CATEGORIES, NOTICE, People, service
from services.ctl.stack import Stack
from services.formats.assertion import Act, GrantAssertion
from services.formats.entry import sha256_hex
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins
from services.nomenclature.oids import INS_NIR_TEST

BATCH = 1000
DAYS = 1000
SENDER, RECIPIENT = "bench-sender", "bench-recipient"
EVERYTHING = Scope(frozenset(CATEGORIES), frozenset(Direction), frozenset(Purpose))
Advance = Callable[[int], None]
_FIRST_NUMBER = 1_790_351_000_000


def matricule(number: int) -> str:
    """The matricule of the `number`th test identity, with its key."""
    digits = _FIRST_NUMBER + number
    return f"{digits}{97 - digits % 97:02}"


async def seed(stack: Stack, patients: int, advance: Advance) -> None:
    """Seeds a prepared stack whose registry serves, stops that, and marks the folder as seeded."""
    async with People(stack) as people:
        for number, (name, siren) in enumerate(((SENDER, "552100554"), (RECIPIENT, "443061841")), 1):
            referenced = service(name, name, f"1.2.250.1.999.{number}", Partner(stack, name).prepare())
            await people.reference(referenced, siren=siren)
    marks = _Seeder(stack, await _snapshot(stack), advance).seed(patients)
    await _index(stack)
    stack.stop_one("registry")
    shutil.copyfile(stack.folder / "data" / "registry.db", stack.folder / "seeded-registry.db")
    mark_seeded(stack.folder, patients, marks)


async def _index(stack: Stack) -> None:
    # A process that still indexes what was seeded would be measured at that.
    database = Database(f"sqlite:///{(stack.folder / 'seeded-consent.db').resolve()}")
    indexer = Indexer(database)
    await indexer.catch_up(indexer.logs())
    await indexer.close()
    database.close()


async def _snapshot(stack: Stack) -> Snapshot:
    identity = Identity(stack.trust_domain, "/registry")
    async with open_channel(stack.target("registry"), stack.tls("consent"), identity) as channel:
        view = RegistryView(lambda: channel, stack.trust, SystemClock())
        await view.poll()
        return view.current()


class _Seeder:
    """Writes the rows and the log; `advance(n)` hears of n more patients."""

    def __init__(self, stack: Stack, snapshot: Snapshot, advance: Advance) -> None:
        self._stack, self._snapshot, self._advance = stack, snapshot, advance
        master, sealing = load_secret(stack.folder / "keys" / keys.MASTER), vault(stack)
        identifiers = Identifiers(lambda audience: derive(master, f"identifiers of {audience}"))
        self._names = Names(identifiers, allow_test_ins=True)
        self._handlers = build_handlers(sealing, identifiers, secrets.randbits)
        self._portal = load_signer(stack.folder / "keys" / keys.PORTAL)
        self._database = Database(f"sqlite:///{(stack.folder / 'seeded-consent.db').resolve()}")
        prepare(self._database)
        signer = log_signer(stack)
        self._log = ShardLog(0, self._database, signer, sealing, SystemClock(), os.urandom, 1000)
        self._proofs = Proofs(self._database, sealing, [signer.name])

    def seed(self, patients: int) -> list[Mark]:
        """Seeds, and returns how the log grew: a mark before the first transaction, and one after each."""
        self._log.create()
        started = time.perf_counter()
        marks: list[Mark] = [(0, 0.0)]
        with (self._stack.folder / "patients.txt").open("w") as file:
            for first in range(0, patients, BATCH):
                numbers = range(first, min(first + BATCH, patients))
                with self._log.locked(self._snapshot) as locked:
                    file.writelines(self._batch(locked, numbers))
                marks.append((self._proofs.sizes()[0], time.perf_counter() - started))
                self._advance(len(numbers))
        self._log.verify()
        self._database.close()
        return marks

    def _batch(self, locked: Locked, numbers: range) -> list[str]:
        connection = locked.connection
        locked.lease()  # what the shard observes of the register is no newcomer's
        newcomers = Newcomers(connection)
        locked.connection = cast(Connection, newcomers)
        lines = [self._line(locked, number) for number in numbers]
        newcomers.flush()
        locked.connection = connection
        return lines

    def _line(self, locked: Locked, number: int) -> str:
        ins = Ins(INS_NIR_TEST, matricule(number))
        profile = cast(c.Profile, self._handlers.profiles.open_profile(locked, c.OpenProfile(ins)))
        address = profile.address
        for name in (SENDER, RECIPIENT):
            self._handlers.profiles.pair(locked, c.Pair(address, f"services/{name}"))
        grants = (self._grant(locked, address, name) for name in (SENDER, RECIPIENT))
        granted, _ = (self._handlers.consents.grant(locked, item) for item in grants)
        pseudonym = self._names.pseudonym(f"services/{SENDER}", address)
        consent = self._names.consent_name(granted.shard, granted.consent)
        return Patient(pseudonym, ins.matricule, self._names.profile_name(address), consent).line

    def _grant(self, locked: Locked, address: c.Address, name: str) -> c.Grant:
        request = secrets.token_hex(8)
        item = c.Grant(
            address=address,
            service=f"services/{name}",
            scope=EVERYTHING,
            start_ms=None,
            end_ms=locked.now_ms + DAYS * 86_400_000,
            notice_sha256=sha256_hex(NOTICE),
            actor=c.Actor("holder", "eidas2"),
            request_id=request,
            digest=sha256_hex(request),
        )
        return replace(item, assertion=self._asserted(item, locked.now_ms))

    def _asserted(self, item: c.Grant, now_ms: int) -> c.Assertion:
        said = GrantAssertion(
            issuer=self._stack.trust_domain,
            jti=item.request_id,
            issued_s=now_ms // 1000,
            act=Act.GRANT,
            service=item.service,
            scope=item.scope,
            end_ms=item.end_ms,
            notice_sha256=item.notice_sha256,
            role=item.actor.role,
            authentication=item.actor.authentication,
            profile=self._names.profile_name(item.address),
        )
        return c.Assertion(said.sign(self._portal), self._portal.verify_key.kid)

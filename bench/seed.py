"""The seeded ledger: every patient with an open profile, paired and consenting with a sender and a recipient.

Guarantees that rows and log are what the consent process itself would have written: they come from its own handlers, under
its own lock, many patients a transaction (`newcomers`), with the lease of a real registry. A folder that was seeded with
the same parameters and tables is used again; the measured process gets a copy of the database, so all runs start from one
state.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from bench.newcomers import Newcomers
from services.chassis.channel import open_channel
from services.chassis.clock import SystemClock
from services.chassis.db import Database
from services.chassis.identity import Identity
from services.chassis.keys import derive, load_ed25519, load_secret, load_signer
from services.chassis.registry import RegistryView, Snapshot
from services.consent.convert.names import Names
from services.consent.domain import commands as c
from services.consent.domain.identifiers import Identifiers
from services.consent.handlers import build_handlers
from services.consent.indexing import Indexer
from services.consent.locked import Locked
from services.consent.migrations.start import prepare
from services.consent.shard import ShardLog
from services.consent.tables import metadata
from services.consent.vault import Vault
from services.ctl import keys
from services.ctl.partners import Partner
from services.ctl.people import CATEGORIES, NOTICE, People, service
from services.ctl.stack import Stack
from services.formats.assertion import Act, GrantAssertion
from services.formats.entry import sha256_hex
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins
from services.nomenclature.oids import INS_NIR_TEST
from services.tlog.note import NoteSigner

FORMAT = 4
"""Changes when what is seeded changes."""
BATCH = 1000
_KEPT = ("consent", "registry")
DAYS = 1000
SENDER, RECIPIENT = "bench-sender", "bench-recipient"
EVERYTHING = Scope(frozenset(CATEGORIES), frozenset(Direction), frozenset(Purpose))
Advance = Callable[[int], None]
_FIRST_NUMBER = 1_790_351_000_000


@dataclass(frozen=True, slots=True)
class Patient:
    """A seeded patient: the sender's pseudonym, the test identity, the profile, and the consent given to the sender."""

    pseudonym: str
    matricule: str
    profile: str
    consent: str


def matricule(number: int) -> str:
    """The matricule of the `number`th test identity, with its key."""
    digits = _FIRST_NUMBER + number
    return f"{digits}{97 - digits % 97:02}"


def is_seeded(folder: Path, patients: int) -> bool:
    """Whether a folder holds a ledger seeded with these parameters, complete."""
    marker, kept = folder / "seed.json", (folder / f"seeded-{name}.db" for name in _KEPT)
    if not all(file.exists() for file in (marker, *kept)):
        return False
    return bool(json.loads(marker.read_text())["parameters"] == _parameters(patients))


def load_patients(folder: Path) -> list[Patient]:
    """The patients of a seeded folder."""
    lines = (folder / "patients.txt").read_text().splitlines()
    return [Patient(*line.split(" ")) for line in lines]


def restore(stack: Stack) -> None:
    """Gives the stack's registry and consent process, neither running, fresh copies of the seeded databases.

    Both: a registry that has witnessed a longer log would take the seeded one for a ledger rolled back.
    """
    data = stack.folder / "data"
    for name in _KEPT:
        for left in data.glob(f"{name}.db*"):
            left.unlink()
        shutil.copyfile(stack.folder / f"seeded-{name}.db", data / f"{name}.db")
    os.sync()  # what is still to be written back would be paid by the first commits measured


async def seed(stack: Stack, patients: int, advance: Advance) -> float:
    """Seeds a prepared stack whose registry serves, stops that, and returns the seconds the ledger took."""
    async with People(stack) as people:
        for number, (name, siren) in enumerate(((SENDER, "552100554"), (RECIPIENT, "443061841")), 1):
            referenced = service(name, name, f"1.2.250.1.999.{number}", Partner(stack, name).prepare())
            await people.reference(referenced, siren=siren)
    seconds = _Seeder(stack, await _snapshot(stack), advance).seed(patients)
    await _index(stack)
    stack.stop_one("registry")
    shutil.copyfile(stack.folder / "data" / "registry.db", stack.folder / "seeded-registry.db")
    return seconds


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
        master = load_secret(stack.folder / "keys" / keys.MASTER)
        vault = Vault(partial(derive, master), os.urandom)
        identifiers = Identifiers(lambda audience: derive(master, f"identifiers of {audience}"))
        self._names = Names(identifiers, allow_test_ins=True)
        self._handlers = build_handlers(vault, identifiers, secrets.randbits)
        self._portal = load_signer(stack.folder / "keys" / keys.PORTAL)
        self._file = stack.folder / "seeded-consent.db"
        self._database = Database(f"sqlite:///{self._file.resolve()}")
        prepare(self._database)
        key = load_ed25519(stack.folder / "keys" / keys.LOG)
        signer = NoteSigner(f"{stack.trust_domain}/ledger/1/0", key.sign, key.public_key().public_bytes_raw())
        self._log = ShardLog(0, self._database, signer, vault, SystemClock(), os.urandom, 1000)

    def seed(self, patients: int) -> float:
        """Seeds, and returns the seconds it took."""
        started = time.perf_counter()
        self._log.create()
        with (self._stack.folder / "patients.txt").open("w") as file:
            for first in range(0, patients, BATCH):
                numbers = range(first, min(first + BATCH, patients))
                with self._log.locked(self._snapshot) as locked:
                    file.writelines(self._batch(locked, numbers))
                self._advance(len(numbers))
        self._log.verify()
        self._database.close()
        seconds = time.perf_counter() - started
        marker = {
            "parameters": _parameters(patients),
            "seconds": round(seconds, 1),
            "patients_a_second": round(patients / seconds),
        }
        (self._stack.folder / "seed.json").write_text(json.dumps(marker))
        return seconds

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
        return f"{pseudonym} {ins.matricule} {self._names.profile_name(address)} {consent}\n"

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


def _parameters(patients: int) -> dict[str, object]:
    tables = "".join(str(CreateTable(table).compile(dialect=sqlite.dialect())) for table in metadata.sorted_tables)
    return {"format": FORMAT, "patients": patients, "tables": hashlib.sha256(tables.encode()).hexdigest()}

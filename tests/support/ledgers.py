"""A real ledger on a real database, with a registry snapshot and a clock that the test holds."""

import hashlib
import itertools
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.db import Database
from services.chassis.keys import derive
from services.chassis.registry import Snapshot
from services.consent.consents import ConsentHandlers
from services.consent.domain import commands as c
from services.consent.domain.identifiers import Identifiers
from services.consent.exchanges import ExchangeHandlers
from services.consent.ledger import Ledger
from services.consent.shard import ShardLog
from services.consent.tables import metadata
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.entry import Pin
from services.formats.jwk import LocalSigner
from services.formats.lease import Convention, Lease, ServiceRecord, Status, snapshot_hash
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins
from services.tlog.note import NoteSigner

DAY_MS = 86_400_000
NOW_MS = 1_795_443_328_123
NOTICE = "a" * 64
EVERYTHING = Scope(frozenset({"class:10", "class:11", "class:42"}), frozenset(Direction), frozenset(Purpose))
SENDER, RECIPIENT = "services/lumen", "services/carnet"
_SIGNER = LocalSigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))


@dataclass
class HeldClock:
    """A clock that stands still until it is moved."""

    now_ms: int = NOW_MS

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic(self) -> float:
        return self.now_ms / 1000


def convention(scope: Scope = EVERYTHING, *, ins: bool = True) -> Convention:
    """A convention around NOW_MS."""
    return Convention(scope, NOW_MS - 365 * DAY_MS, NOW_MS + 3650 * DAY_MS, NOTICE, ins)


def record(name: str, status: Status = Status.REFERENCED_WITH_EXCHANGE, **more: Convention) -> ServiceRecord:
    """A service record with defaults."""
    return ServiceRecord(
        name=name,
        organization="organizations/editor",
        oid="1.2.3",
        status=status,
        spiffe_id=f"spiffe://accord.example/{name.replace('services', 'service')}",
        endpoint="",
        convention=more.get("convention", convention()),
        keys=(_SIGNER.verify_key,),
    )


@dataclass
class HeldView:
    """A registry view whose snapshot the test sets; None is a stale lease."""

    snapshot: Snapshot | None = None
    sequence: int = 0

    def set(self, records: Iterable[ServiceRecord]) -> None:
        """A new snapshot, one sequence later."""
        raw = tuple(item.to_bytes() for item in sorted(records, key=lambda item: item.name))
        self.sequence += 1
        lease = Lease(Pin(self.sequence, snapshot_hash(raw)), len(raw), NOW_MS // 1000, 30, "")
        self.snapshot = Snapshot.of(lease, raw)

    def current(self) -> Snapshot:
        if self.snapshot is None:
            raise AccordError(Reason.REGISTRY_STALE)
        return self.snapshot


@dataclass
class Bench:
    """A ledger and the levers around it."""

    database: Database
    ledger: Ledger
    view: HeldView
    clock: HeldClock
    vault: Vault
    logs: list[ShardLog]
    identifiers: Identifiers
    ids: "itertools.count[int]" = field(default_factory=itertools.count)

    async def patient(self, number: int = 1) -> c.Address:
        """A patient with an open profile, paired with sender and recipient."""
        address = await self.ledger.open_profile(c.OpenProfile(ins(number)))
        for service in (SENDER, RECIPIENT):
            await self.ledger.pair(c.Pair(address, service))
        return address

    async def grant(
        self,
        address: c.Address,
        service: str,
        scope: Scope = EVERYTHING,
        *,
        days: int = 30,
        start_ms: int | None = None,
    ) -> c.Consent:
        """A consent from now (or `start_ms`) for some days."""
        number = next(self.ids)
        item = c.Grant(
            address=address,
            service=service,
            scope=scope,
            start_ms=start_ms,
            end_ms=(start_ms or self.clock.now_ms) + days * DAY_MS,
            notice_sha256=NOTICE,
            actor=c.Actor("holder", "eidas2"),
            request_id=f"request-{number:08}",
            digest=str(number),
        )
        return await self.ledger.grant(item)

    async def revoke(self, consent: c.Consent) -> c.Consent:
        """Withdraws a consent."""
        return await self.ledger.revoke(c.Revoke(consent.shard, consent.consent, c.Actor("holder", "eidas2")))

    async def authorize(self, query: c.Query, *patients: Ins) -> c.Decision:
        """Asks for a decision on a new exchange."""
        exchange = hashlib.sha256(str(next(self.ids)).encode()).hexdigest()
        return await self.ledger.authorize(c.Authorize(query, exchange, patients, "t" * 43))


def ins(number: int) -> Ins:
    """A valid test identity."""
    root = 1_790_351_215_000 + number
    return Ins("1.2.250.1.213.1.4.10", f"{root}{97 - root % 97:02}")


def query(address: c.Address | None, **changes: object) -> c.Query:
    """Sender to recipient, class 10, for care; any field may be changed."""
    fields: dict[str, object] = {
        "service": SENDER,
        "address": address,
        "direction": Direction.DEPOSIT,
        "counterparty": RECIPIENT,
        "purpose": Purpose.CARE,
        "categories": frozenset({"class:10"}),
    }
    return c.Query(**(fields | changes))  # type: ignore[arg-type]


def build(folder: Path, shards: int = 1, origin: str = "accord.example/ledger/1") -> Bench:
    """A ledger in `folder`, sender and recipient referenced with exchange."""

    clock, view = HeldClock(), HeldView()
    view.set([record(SENDER), record(RECIPIENT)])
    database = Database(f"sqlite:///{folder / 'ledger.db'}")
    database.create(metadata)
    vault = Vault(lambda label: derive(b"m" * 32, label), os.urandom)
    identifiers = Identifiers(lambda audience: derive(b"m" * 32, audience))
    key = Ed25519PrivateKey.from_private_bytes(b"l" * 32)
    public = key.public_key().public_bytes_raw()
    logs = [
        ShardLog(shard, database, NoteSigner(f"{origin}/{shard}", key.sign, public), vault, clock, os.urandom, 1000)
        for shard in range(shards)
    ]
    consents = ConsentHandlers(vault, identifiers, secrets.randbits)
    ledger = Ledger(database, logs, view, vault, clock, consents, ExchangeHandlers(vault, identifiers))  # type: ignore[arg-type]
    ledger.start()
    return Bench(database, ledger, view, clock, vault, logs, identifiers)

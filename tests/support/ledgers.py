"""A real ledger on a real database, with a registry snapshot and a clock that the test holds."""

import hashlib
import itertools
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.db import Database
from services.chassis.keys import derive
from services.chassis.migrations import migrate
from services.chassis.registry import Snapshot
from services.consent.across import Across
from services.consent.advice import Advice
from services.consent.domain import commands as c
from services.consent.domain.identifiers import Identifiers
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import NO_LIMITS, Limits
from services.consent.handlers import build_handlers
from services.consent.ledger import Ledger
from services.consent.migrations import FOLDER
from services.consent.shard import ShardLog
from services.consent.store.consents import find_consent
from services.consent.vault import Vault
from services.errors import AccordError, Reason
from services.formats.canonical import loads_canonical
from services.formats.entry import MAX_BODY, Entry, OutcomeResult, Pin, commitment, parse_entry
from services.formats.jwk import LocalSigner
from services.formats.lease import Convention, Lease, ServiceRecord, Status, snapshot_hash
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import NoteSigner, Verifier
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash, merkle_root

DAY_MS = 86_400_000
NOW_MS = 1_795_443_328_123
NOTICE = "a" * 64
EVERYTHING = Scope(frozenset({"class:10", "class:11", "class:42"}), frozenset(Direction), frozenset(Purpose))
HOLDER = c.Actor("holder", "eidas2")
SENDER, RECIPIENT = "services/lumen", "services/carnet"
LOG_KEY = Ed25519PrivateKey.from_private_bytes(b"l" * 32)
PUBLIC_KEY = LOG_KEY.public_key().public_bytes_raw()
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
    advice: Advice
    view: HeldView
    clock: HeldClock
    vault: Vault
    logs: list[ShardLog]
    identifiers: Identifiers
    ids: "itertools.count[int]" = field(default_factory=itertools.count)

    async def close(self) -> None:
        """Finishes what was submitted, then closes the database."""
        await self.advice.close()
        await self.ledger.close()
        self.database.close()

    def entries(self, shard: int = 0) -> tuple[Entry, ...]:
        """Every entry of a shard in log order. Raises: AssertionError unless the signed head is their root."""
        log = self.logs[shard]
        checkpoint = open_checkpoint(self.ledger.proofs.checkpoints()[shard], Verifier(log.origin, PUBLIC_KEY))
        raw = self.ledger.proofs.entries(log.origin, 0, checkpoint.size + 1)
        assert merkle_root([leaf_hash(entry) for entry in raw]) == checkpoint.root
        assert len(raw) == checkpoint.size
        return tuple(map(parse_entry, raw))

    def kinds(self, shard: int = 0) -> list[str]:
        """The types of a shard's entries, in log order."""
        return [entry.type.value for entry in self.entries(shard)]

    def opened(self, index: int, shard: int = 0) -> Any:
        """What an entry commits to. Raises: AssertionError unless its opening and its proof hold."""
        log = self.logs[shard]
        (item,) = self.ledger.proofs.prove(log.origin, [index], openings=True)
        proof = parse_proof(item.proof)
        checkpoint = open_checkpoint(proof.checkpoint_note, Verifier(log.origin, PUBLIC_KEY))
        verify_inclusion(leaf_hash(item.entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        assert proof.index == index
        assert item.opening is not None
        assert commitment(*item.opening) == parse_entry(item.entry).commit
        return loads_canonical(item.opening[1], MAX_BODY)

    def rested_on(self, index: int, shard: int = 0) -> Any:
        """The facts of a decision. Raises: AssertionError unless they are those its body commits to."""
        kept = self.ledger.proofs.facts(self.logs[shard].origin, index)
        assert kept is not None
        assert commitment(*kept) == self.opened(index, shard)["facts"]
        return loads_canonical(kept[1], MAX_BODY)

    @property
    def across(self) -> Across:
        """What touches two shards."""
        return Across(self.database, self.ledger, self.clock)

    async def open_profile(self, item: c.OpenProfile) -> c.Address:
        """The address of a profile, opened if it was not."""
        return (await self.across.open_profile(item)).address

    def find_consent(self, shard: int, consent: int) -> c.Consent | None:
        """A consent as it stands."""
        with self.database.read() as connection:
            return find_consent(connection, shard, consent)

    async def patient(self, number: int = 1) -> c.Address:
        """A patient with an open profile, paired with sender and recipient."""
        address = await self.open_profile(c.OpenProfile(ins(number)))
        for service in (SENDER, RECIPIENT):
            await self.ledger.do(c.Pair(address, service))
        return address

    async def grant(
        self,
        address: c.Address,
        service: str,
        scope: Scope = EVERYTHING,
        *,
        days: int = 30,
        start_ms: int | None = None,
        limits: Limits = NO_LIMITS,
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
            limits=limits,
        )
        return await self.ledger.do(item)

    async def consenting(self, number: int = 1) -> c.Address:
        """A patient who consents to everything with sender and recipient."""
        address = await self.patient(number)
        for service in (SENDER, RECIPIENT):
            await self.grant(address, service)
        return address

    async def revoke(self, consent: c.Consent) -> c.Consent:
        """Withdraws a consent."""
        return await self.ledger.do(revoking(consent.shard, consent.consent))

    async def authorize(self, query: c.Query, *patients: Ins) -> c.Decision:
        """Asks for a decision on a new exchange."""
        return await self.ledger.authorize(c.Authorize(query, self.exchange(), patients, "t" * 43))

    def exchange(self) -> str:
        """A new exchange's id."""
        return hashlib.sha256(str(next(self.ids)).encode()).hexdigest()


def ins(number: int) -> Ins:
    """A valid test identity."""
    root = 1_790_351_215_000 + number
    return Ins("1.2.250.1.213.1.4.10", f"{root}{97 - root % 97:02}")


def revoking(shard: int, consent: int, actor: c.Actor = HOLDER) -> c.MoveConsent:
    """Withdraws a consent."""
    return c.MoveConsent(shard, consent, ConsentState.REVOKED, actor)


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


def outcome(decision: c.Decision, exchange: str, **changes: object) -> c.RecordOutcome:
    """A delivery of what was authorised; any field may be changed."""
    fields: dict[str, object] = {
        "shard": int(decision.appended.origin.rpartition("/")[2]),
        "authorization": decision.appended.index,
        "exchange": exchange,
        "result": OutcomeResult.DELIVERED,
        "bytes_sent": 1234,
        "first_ms": NOW_MS,
        "last_ms": NOW_MS + 1,
        "acknowledgement_sha256": "a" * 64,
        "manifest_sha256": "b" * 64,
    }
    return c.RecordOutcome(**(fields | changes))  # type: ignore[arg-type]


def build(
    database: Path | str,
    shards: int = 1,
    origin: str = "accord.example/ledger/1",
    *,
    clock: HeldClock | None = None,
    view: HeldView | None = None,
    epoch: int = 1,
) -> Bench:
    """A ledger in a folder (SQLite) or a database by URL, sender and recipient referenced with exchange.

    Two on one database are two processes' worth. The origin of another epoch is the caller's to give.
    """
    clock = clock or HeldClock()
    if view is None:
        view = HeldView()
        view.set([record(SENDER), record(RECIPIENT)])
    opened = Database(database if isinstance(database, str) else f"sqlite:///{database / 'ledger.db'}")
    migrate(opened, FOLDER)
    vault = Vault(lambda label: derive(b"m" * 32, label), os.urandom)
    identifiers = Identifiers(lambda audience: derive(b"m" * 32, audience))
    signers = [NoteSigner(f"{origin}/{shard}", LOG_KEY.sign, PUBLIC_KEY) for shard in range(shards)]
    logs = [
        ShardLog(shard, opened, signer, vault, clock, os.urandom, 1000, epoch) for shard, signer in enumerate(signers)
    ]
    handlers = build_handlers(vault, identifiers, secrets.randbits, shards=shards)
    ledger = Ledger(opened, logs, view, vault, clock, handlers)  # type: ignore[arg-type]
    ledger.start()
    advice = Advice(opened, ledger, view, clock, identifiers)  # type: ignore[arg-type]
    return Bench(opened, ledger, advice, view, clock, vault, logs, identifiers)

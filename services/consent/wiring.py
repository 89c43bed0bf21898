"""Wires the ledger: every part once, in a straight line, and in the end closed in the opposite order."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from services.chassis.channels import Channels
from services.chassis.clock import Clock
from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.health import Probe
from services.chassis.identity import Identity
from services.chassis.keys import derive, load_ed25519, load_secret, load_signer
from services.chassis.registry import RegistryView
from services.chassis.server import Endpoint
from services.consent.accesses import Accesses
from services.consent.across import Across
from services.consent.advice import Advice
from services.consent.answers import Answers
from services.consent.assertions import Assertions
from services.consent.audit import Audit
from services.consent.config import Settings
from services.consent.convert.names import Names
from services.consent.domain.identifiers import Identifiers
from services.consent.endpoints import endpoints
from services.consent.grants import Grants
from services.consent.handlers import build_handlers
from services.consent.indexing import Indexer
from services.consent.ledger import Ledger
from services.consent.migrations.start import prepare
from services.consent.past import Past
from services.consent.permitted import Permitted
from services.consent.platform import Platform
from services.consent.reading import Reading
from services.consent.searching import Searcher
from services.consent.servicer.accesses import AccessReader
from services.consent.servicer.audit import AuditServicer
from services.consent.servicer.consents import ConsentServicer
from services.consent.servicer.decisions import DecisionServicer
from services.consent.servicer.platform import PlatformServicer
from services.consent.servicer.reader import ConsentReaderServicer
from services.consent.servicer.requests import ConsentRequestServicer
from services.consent.servicer.watch import WatchServicer
from services.consent.shard import ShardLog
from services.consent.sources import open_replica
from services.consent.sweeper import sweep_for_ever
from services.consent.vault import Vault
from services.consent.watching import Tail
from services.errors import AccordError
from services.formats.jwk import Signer
from services.formats.trust import KeyRole, Trust, parse_trust
from services.tlog.note import NoteSigner

START_S = 5.0
"""How long the first lease may take before the process reports its health without it."""


@dataclass(frozen=True, slots=True)
class Wired:
    """What a server serves, and what tells whether it can."""

    endpoints: list[Endpoint]
    probe: Probe


@dataclass(frozen=True, slots=True)
class _Ground:
    """What everything that is served stands on."""

    settings: Settings
    clock: Clock
    trust: Trust
    vault: Vault
    identifiers: Identifiers
    database: Database
    view: RegistryView


@asynccontextmanager
async def wired(settings: Settings, clock: Clock) -> AsyncIterator[Wired]:
    """A ledger at work. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE, ValueError for a broken log or TRUST."""
    trust, master = parse_trust(settings.trust.read_bytes()), load_secret(settings.keys.master)
    permits, log_signers = _permit_signer(settings, trust, clock.wall_ms()), _log_signers(settings, trust)
    vault = Vault(partial(derive, master), os.urandom)
    identifiers = Identifiers(lambda audience: derive(master, f"identifiers of {audience}"))
    async with AsyncExitStack() as closing:
        database = Database(settings.database_url)
        closing.callback(database.close)
        prepare(database)
        channels = Channels(settings.server.tls)
        closing.push_async_callback(channels.close)
        registry = partial(channels.to, settings.registry, Identity(settings.trust_domain, "/registry"))
        view = RegistryView(registry, trust, clock)
        ground = _Ground(settings, clock, trust, vault, identifiers, database, view)
        ledger = _ledger(ground, log_signers)
        closing.push_async_callback(ledger.close)
        ledger.start()

        served = await _served(ground, ledger, permits, closing)
        for work in (view.follow(), sweep_for_ever(ledger, settings.outcome_deadline_s * 1000)):
            closing.callback(asyncio.create_task(work).cancel)
        with suppress(AccordError):  # without a lease it serves all the same: a withdrawal needs none
            await view.wait_ready(START_S)
        yield Wired(served, partial(_problems, ledger, database, view))


def _ledger(ground: _Ground, signers: Sequence[NoteSigner]) -> Ledger:
    settings, database, vault, clock = ground.settings, ground.database, ground.vault, ground.clock
    logs = [
        ShardLog(shard, database, signer, vault, clock, os.urandom, settings.clock_leeway_ms, settings.epoch)
        for shard, signer in enumerate(signers)
    ]
    delay_ms = settings.erasure_delay_ms
    handlers = build_handlers(
        vault, ground.identifiers, secrets.randbits, shards=settings.shards, erasure_delay_ms=delay_ms
    )
    return Ledger(database, logs, ground.view, vault, clock, handlers)


async def _served(ground: _Ground, ledger: Ledger, permits: Signer, closing: AsyncExitStack) -> list[Endpoint]:
    settings, database, view, vault, clock = (
        ground.settings,
        ground.database,
        ground.view,
        ground.vault,
        ground.clock,
    )
    names = Names(ground.identifiers, allow_test_ins=settings.allow_test_ins)
    replica = open_replica(settings.replica_url) if settings.replica_url else None
    if replica is not None:
        closing.callback(replica.close)
    advice = Advice(database, ledger, view, clock, ground.identifiers, replica=replica)
    closing.push_async_callback(advice.close)
    tail, indexer = Tail(ledger), Indexer(database)
    closing.push_async_callback(tail.close)
    closing.push_async_callback(indexer.close)
    closing.callback(asyncio.create_task(indexer.follow()).cancel)

    past = Past(database, ledger, vault, ground.identifiers, clock)
    across = Across(database, ledger, clock)
    answers = Answers(database, ledger, across, view, vault, clock)
    grants = Grants(database, ledger, across, Assertions(ground.trust, clock), clock)
    accesses = Accesses(database, ledger, indexer, vault, clock, names.consent_name)
    reading, permitted = (
        Reading(database, ledger, vault, clock),
        Permitted(database, ledger, view, clock, ground.identifiers),
    )
    return endpoints(
        ConsentServicer(ledger, across, grants, answers, names),
        ConsentRequestServicer(ledger, answers, names),
        ConsentReaderServicer(reading, permitted, AccessReader(accesses, names, clock, settings.trust_domain), names),
        DecisionServicer(ledger, advice, past, names, permits, settings.trust_domain, os.urandom),
        WatchServicer(ledger, tail),
        AuditServicer(ledger, Audit(ledger, Searcher(database, vault), indexer), names),
        PlatformServicer(ledger, Platform(database, ledger), names, vault.person_hash),
    )


def _permit_signer(settings: Settings, trust: Trust, now_ms: int) -> Signer:
    signer = load_signer(settings.keys.permit)
    if trust.key_of(KeyRole.PERMIT, now_ms)(signer.verify_key.kid) is None:
        raise ConfigError("keys.permit: not a permit key that TRUST lists as good now")
    return signer


def _log_signers(settings: Settings, trust: Trust) -> list[NoteSigner]:
    key = load_ed25519(settings.keys.log)
    public = key.public_key().public_bytes_raw()
    origins = [f"{settings.trust_domain}/ledger/{settings.epoch}/{shard}" for shard in range(settings.shards)]
    signers = [NoteSigner(origin, key.sign, public) for origin in origins]
    if not all(trust.log(signer.name) == signer.verifier for signer in signers):
        raise ConfigError("trust: lists another key, or none, for one of this ledger's logs")
    return signers


async def _problems(ledger: Ledger, database: Database, view: RegistryView) -> Sequence[str]:
    await ledger.read(database.ping)
    return () if view.fresh() else ("the registry lease is stale",)

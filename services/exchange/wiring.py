"""Wires the broker: every part once, in a straight line, and in the end closed in the opposite order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from services.chassis.admission import Admission
from services.chassis.channel import PARTNERS
from services.chassis.channels import Channels
from services.chassis.clock import Clock
from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.health import Probe
from services.chassis.identity import Identity
from services.chassis.keys import load_signer
from services.chassis.ledger import CONSENT_PATH, LedgerLogs
from services.chassis.registry import RegistryView
from services.chassis.server import Endpoint
from services.chassis.witness import Witness
from services.errors import AccordError
from services.exchange.broker import Broker
from services.exchange.carry import Carrier
from services.exchange.clients import Ledger
from services.exchange.config import Settings
from services.exchange.intake import Intake
from services.exchange.outcomes import Outcomes
from services.exchange.servicer import endpoint
from services.exchange.settle import Settler
from services.exchange.spool import Spool
from services.exchange.store import METADATA, Store
from services.formats.jwk import Signer
from services.formats.trust import KeyRole, Trust, parse_trust

WORKERS = 4


@dataclass(frozen=True, slots=True)
class Wired:
    """What a server serves, and what tells whether it can."""

    endpoint: Endpoint
    probe: Probe


@asynccontextmanager
async def wired(settings: Settings, clock: Clock) -> AsyncIterator[Wired]:
    """A broker at work. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE, ValueError for a TRUST that does not parse."""
    trust, signer = parse_trust(settings.trust.read_bytes()), load_signer(settings.signing_key)
    _check_trust(settings, trust, signer, clock.wall_ms())
    workers, writer = ThreadPoolExecutor(WORKERS, "exchange-spool"), ThreadPoolExecutor(1, "exchange-store")
    database = Database(settings.database_url)
    database.create(METADATA)
    store = Store(database, writer, settings.instance)
    spool = Spool(settings.spool)
    spool.prepare()

    stopping = asyncio.Event()
    channels, partners = Channels(settings.server.tls), Channels(settings.server.tls, PARTNERS)
    registry = partial(channels.to, settings.registry, Identity(settings.trust_domain, "/registry"))
    view = RegistryView(registry, trust, clock)
    consent = partial(channels.to, settings.consent, Identity(settings.trust_domain, CONSENT_PATH))
    ledger = Ledger(consent)
    witness = Witness(LedgerLogs(consent), store, trust)
    await witness.start()
    intake = Intake(spool, workers, clock, settings.limits, settings.rules)
    carrier = Carrier(ledger, witness, view, partners, signer, trust, clock, workers, stopping)
    outcomes = Outcomes(Settler(ledger, witness, view, trust, workers), store, stopping)
    places = Admission(settings.max_in_flight)
    broker = Broker(settings.trust_domain, view, store, ledger, intake, carrier, outcomes, places, stopping)
    following = [asyncio.create_task(work) for work in (view.follow(), witness.follow())]
    await broker.start()

    try:
        yield Wired(endpoint(broker), partial(_problems, database, writer, view, witness))
    finally:
        await broker.close()
        for task in following:
            task.cancel()
        await partners.close()
        await channels.close()
        workers.shutdown()
        writer.shutdown()
        database.close()


def _check_trust(settings: Settings, trust: Trust, signer: Signer, now_ms: int) -> None:
    if trust.trust_domain != settings.trust_domain:
        raise ConfigError("trust: is of another trust domain")
    if trust.key_of(KeyRole.BROKER, now_ms)(signer.verify_key.kid) is None:
        raise ConfigError("signing_key: not a broker key that TRUST lists as good now")


async def _problems(database: Database, writer: Executor, view: RegistryView, witness: Witness) -> Sequence[str]:
    await asyncio.get_running_loop().run_in_executor(writer, database.ping)
    problems = [] if view.fresh() else ["the registry lease is stale"]
    try:
        witness.require()
    except AccordError as error:
        problems.append(error.reason.value)
    return problems

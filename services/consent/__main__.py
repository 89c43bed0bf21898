"""The consent process: `python -m services.consent --config FILE`."""

import argparse
import asyncio
import gc
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from services.chassis.channels import Channels
from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError, load_settings
from services.chassis.db import Database
from services.chassis.identity import Identity
from services.chassis.keys import derive, load_ed25519, load_secret, load_signer
from services.chassis.logs import configure_logging
from services.chassis.registry import RegistryView
from services.chassis.server import run, serve
from services.chassis.telemetry import build_telemetry
from services.consent.accesses import Accesses
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
from services.consent.migrations.start import migrate_only, prepare
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
from services.consent.vault import Vault
from services.consent.watching import Tail
from services.errors import AccordError
from services.formats.jwk import Signer
from services.formats.trust import KeyRole, Trust, parse_trust
from services.tlog.note import NoteSigner

GC_THRESHOLD = 10_000
"""How many new objects make the collector look at them."""
START_S = 5.0
"""How long the first lease may take before the process reports its health without it."""
SWEEP_S = 15.0
_log = logging.getLogger(__name__)


async def consent(settings: Settings) -> None:
    """Serves until asked to stop. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE, ValueError for a broken log."""
    clock, trust = SystemClock(), parse_trust(settings.trust.read_bytes())
    master = load_secret(settings.keys.master)
    vault = Vault(partial(derive, master), os.urandom)
    identifiers = Identifiers(lambda audience: derive(master, f"identifiers of {audience}"))
    permits = _permit_signer(settings, trust, clock.wall_ms())
    telemetry = build_telemetry(settings.telemetry, "consent")
    database, channels = Database(settings.database_url), Channels(settings.server.tls)
    prepare(database)

    logs = [
        ShardLog(shard, database, signer, vault, clock, os.urandom, settings.clock_leeway_ms, settings.epoch)
        for shard, signer in enumerate(_log_signers(settings, trust))
    ]
    registry = partial(channels.to, settings.registry, Identity(settings.trust_domain, "/registry"))
    view = RegistryView(registry, trust, clock)
    delay_ms = settings.erasure_delay_ms
    handlers = build_handlers(vault, identifiers, secrets.randbits, shards=settings.shards, erasure_delay_ms=delay_ms)
    ledger = Ledger(database, logs, view, vault, clock, handlers)
    ledger.start()
    replica = open_replica(settings.replica_url) if settings.replica_url else None
    advice = Advice(database, ledger, view, clock, handlers.exchanges, replica=replica)
    past = Past(database, ledger, vault, identifiers, clock, advice.horizon)

    names = Names(identifiers, allow_test_ins=settings.allow_test_ins)
    tail, indexer = Tail(ledger), Indexer(database)
    answers = Answers(database, ledger, view, vault, clock)
    accesses = Accesses(database, ledger, indexer, vault, clock, names.consent_name)
    served = endpoints(
        ConsentServicer(ledger, Grants(database, ledger, Assertions(trust, clock), clock), answers, names),
        ConsentRequestServicer(ledger, answers, names),
        ConsentReaderServicer(
            Reading(database, ledger, vault, clock),
            Permitted(database, ledger, view, clock, identifiers),
            AccessReader(accesses, names, clock, settings.trust_domain),
            names,
        ),
        DecisionServicer(ledger, advice, past, names, permits, settings.trust_domain, os.urandom),
        WatchServicer(ledger, tail),
        AuditServicer(ledger, Audit(ledger, Searcher(database, vault), indexer), names),
        PlatformServicer(ledger, Platform(database, ledger), names, vault.person_hash),
    )
    sweep = _sweep(ledger, settings.outcome_deadline_s * 1000)
    background = [asyncio.create_task(work) for work in (view.follow(), indexer.follow(), sweep)]
    with suppress(AccordError):  # without a lease it serves all the same: a withdrawal needs none
        await view.wait_ready(START_S)
    _settle_memory()
    try:
        probe = partial(_problems, ledger, database, view)
        await serve("consent", settings.server, served, probe, telemetry, clock)
    finally:
        for task in background:
            task.cancel()
        await tail.close()
        await indexer.close()
        await advice.close()
        await ledger.close()
        await channels.close()
        for opened in (database, replica):
            if opened is not None:
                opened.close()


def _settle_memory() -> None:
    # What lives as long as the process need not be walked again at every collection: fewer pauses, a tenth of the core.
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


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


async def _sweep(ledger: Ledger, deadline_ms: int) -> None:
    """For ever; what fails now is tried at the next turn, for the log alone says what is left to do."""
    while True:
        try:
            swept = await ledger.sweep(deadline_ms)
            if swept:
                _log.warning("authorisations without outcome are UNKNOWN now", extra={"fields": {"count": swept}})
        except AccordError as error:
            _log.warning("the sweeper waits", extra={"fields": {"reason": error.reason.value}})
        await asyncio.sleep(SWEEP_S)


async def _problems(ledger: Ledger, database: Database, view: RegistryView) -> Sequence[str]:
    await ledger.read(database.ping)
    return () if view.fresh() else ("the registry lease is stale",)


def main() -> None:
    """Reads the settings and serves; a start that cannot succeed ends with one explanation."""
    parser = argparse.ArgumentParser(prog="python -m services.consent", description="The consent ledger.")
    parser.add_argument("--config", type=Path, required=True, help="settings, a TOML file")
    parser.add_argument(
        "--migrate-only", action="store_true", help="brings the database to this release's schema, and ends"
    )
    parser.add_argument(
        "--role", help="with --migrate-only: PostgreSQL's role of the application, which gets its rights"
    )
    arguments = parser.parse_args()
    if arguments.role is not None and not arguments.migrate_only:
        parser.error("--role goes with --migrate-only")
    configure_logging("consent")
    try:
        settings = load_settings(Settings, arguments.config)
        if arguments.migrate_only:
            migrate_only(settings.database_url, arguments.role)
        else:
            run(consent(settings))
    except (ConfigError, AccordError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

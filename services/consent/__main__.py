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

from accord.consent.v1 import (
    audit_service_pb2,
    audit_service_pb2_grpc,
    consent_reader_service_pb2,
    consent_reader_service_pb2_grpc,
    consent_service_pb2,
    consent_service_pb2_grpc,
    decision_service_pb2,
    decision_service_pb2_grpc,
)

from services.chassis.channels import Channels
from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError, load_settings
from services.chassis.db import Database
from services.chassis.identity import Identity
from services.chassis.keys import derive, load_ed25519, load_secret, load_signer
from services.chassis.logs import configure_logging
from services.chassis.registry import RegistryView
from services.chassis.server import Endpoint, run, serve
from services.chassis.telemetry import build_telemetry
from services.consent.config import Settings
from services.consent.consents import ConsentHandlers
from services.consent.convert import Convert
from services.consent.domain.identifiers import Identifiers
from services.consent.exchanges import ExchangeHandlers
from services.consent.ledger import Ledger
from services.consent.servicer import AuditServicer, ConsentReaderServicer, ConsentServicer, DecisionServicer
from services.consent.shard import ShardLog
from services.consent.tables import metadata
from services.consent.vault import Vault
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
    database.create(metadata)

    logs = [
        ShardLog(shard, database, signer, vault, clock, os.urandom, settings.clock_leeway_ms)
        for shard, signer in enumerate(_log_signers(settings, trust))
    ]
    registry = partial(channels.to, settings.registry, Identity(settings.trust_domain, "/registry"))
    view = RegistryView(registry, trust, clock)
    consents = ConsentHandlers(vault, identifiers, secrets.randbits)
    ledger = Ledger(database, logs, view, vault, clock, consents, ExchangeHandlers(vault, identifiers))
    ledger.start()

    conversions = Convert(identifiers, allow_test_ins=settings.allow_test_ins)
    decisions = DecisionServicer(ledger, conversions, permits, settings.trust_domain, os.urandom)
    sweep = _sweep(ledger, settings.outcome_deadline_s * 1000)
    background = [asyncio.create_task(work) for work in (view.follow(), sweep)]
    with suppress(AccordError):  # without a lease it serves all the same: a withdrawal needs none
        await view.wait_ready(START_S)
    _settle_memory()
    try:
        probe = partial(_problems, ledger, database, view)
        await serve("consent", settings.server, _endpoints(ledger, conversions, decisions), probe, telemetry, clock)
    finally:
        for task in background:
            task.cancel()
        await ledger.close()
        await channels.close()
        database.close()


def _endpoints(ledger: Ledger, conversions: Convert, decisions: DecisionServicer) -> list[Endpoint]:
    return [
        Endpoint(
            consent_service_pb2.DESCRIPTOR.services_by_name["ConsentService"],
            partial(
                consent_service_pb2_grpc.add_ConsentServiceServicer_to_server, ConsentServicer(ledger, conversions)
            ),
        ),
        Endpoint(
            consent_reader_service_pb2.DESCRIPTOR.services_by_name["ConsentReaderService"],
            partial(
                consent_reader_service_pb2_grpc.add_ConsentReaderServiceServicer_to_server,
                ConsentReaderServicer(ledger, conversions),
            ),
        ),
        Endpoint(
            decision_service_pb2.DESCRIPTOR.services_by_name["DecisionService"],
            partial(decision_service_pb2_grpc.add_DecisionServiceServicer_to_server, decisions),
        ),
        Endpoint(
            audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
            partial(audit_service_pb2_grpc.add_AuditServiceServicer_to_server, AuditServicer(ledger)),
        ),
    ]


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
    arguments = parser.parse_args()
    configure_logging("consent")
    try:
        run(consent(load_settings(Settings, arguments.config)))
    except (ConfigError, AccordError, OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

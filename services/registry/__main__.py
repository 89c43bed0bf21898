"""The registry process: `python -m services.registry --config FILE`."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial

from accord.registry.v1 import (
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    lease_service_pb2,
    lease_service_pb2_grpc,
    register_log_service_pb2,
    register_log_service_pb2_grpc,
    registry_service_pb2,
    registry_service_pb2_grpc,
)

from services.chassis.clock import SystemClock
from services.chassis.config import ConfigError, load_settings
from services.chassis.db import Database
from services.chassis.keys import load_signer, note_signer
from services.chassis.logs import configure_logging
from services.chassis.schema import parse_arguments
from services.chassis.server import Endpoint, run, serve
from services.chassis.telemetry import build_telemetry
from services.chassis.tls import leaf_identity
from services.errors import AccordError
from services.registry import health, store
from services.registry.catalog import Catalog
from services.registry.commits import Commits, run_read
from services.registry.config import Settings
from services.registry.lease import Leases
from services.registry.log import EPOCH, RegisterLog
from services.registry.migrations.start import SCHEMA
from services.registry.organizations import Organizations
from services.registry.servicer import CatalogServicer, LeaseServicer, RegisterLogServicer, RegistryServicer
from services.registry.start import open_register
from services.registry.witnessing import witnessing


async def registry(settings: Settings) -> None:
    """Serves until asked to stop. Raises: ConfigError, AccordError STORAGE_UNAVAILABLE."""
    if leaf_identity(settings.server.tls).trust_domain != settings.trust_domain:
        raise ConfigError("trust_domain: not the trust domain of the server's certificate")
    clock = SystemClock()
    signer = load_signer(settings.lease_key)
    telemetry = build_telemetry(settings.telemetry, "registry")
    database = Database(settings.database_url)
    log = RegisterLog(note_signer(settings.log_key, f"{settings.trust_domain}/register/{EPOCH}"), os.urandom)
    snapshot = open_register(database, log, settings.trust_domain, clock)
    executor = ThreadPoolExecutor(1, "registry-store")
    load = partial(run_read, database, executor, store.snapshot)
    async with AsyncExitStack() as closing:
        closing.callback(database.close)
        closing.callback(executor.shutdown)
        require = await closing.enter_async_context(witnessing(settings, database, executor))
        leases = Leases(signer, settings.trust_domain, clock, load, require)
        await leases.publish(snapshot)
        commits = Commits(database, executor, leases, log, clock)
        closing.push_async_callback(commits.drain)
        catalog = Catalog(commits, settings.trust_domain)
        endpoints = _endpoints(
            RegistryServicer(catalog, Organizations(commits), allow_local=settings.allow_local_endpoints),
            CatalogServicer(catalog),
            LeaseServicer(leases),
            RegisterLogServicer(commits),
        )
        probe = partial(health.problems, commits, leases)
        await serve("registry", settings.server, endpoints, probe, telemetry, clock)


def _endpoints(
    writer: RegistryServicer, reader: CatalogServicer, lease: LeaseServicer, log: RegisterLogServicer
) -> list[Endpoint]:
    return [
        Endpoint(
            registry_service_pb2.DESCRIPTOR.services_by_name["RegistryService"],
            partial(registry_service_pb2_grpc.add_RegistryServiceServicer_to_server, writer),
        ),
        Endpoint(
            catalog_service_pb2.DESCRIPTOR.services_by_name["CatalogService"],
            partial(catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server, reader),
        ),
        Endpoint(
            lease_service_pb2.DESCRIPTOR.services_by_name["LeaseService"],
            partial(lease_service_pb2_grpc.add_LeaseServiceServicer_to_server, lease),
        ),
        Endpoint(
            register_log_service_pb2.DESCRIPTOR.services_by_name["RegisterLogService"],
            partial(register_log_service_pb2_grpc.add_RegisterLogServiceServicer_to_server, log),
        ),
    ]


def main() -> None:
    """Reads the settings and serves; a start that cannot succeed ends with one explanation."""
    arguments = parse_arguments("python -m services.registry", "The register of services.")
    configure_logging("registry")
    try:
        settings = load_settings(Settings, arguments.config)
        if arguments.migrate_only:
            SCHEMA.migrate_only(settings.database_url, arguments.role)
        else:
            run(registry(settings))
    except (ConfigError, AccordError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

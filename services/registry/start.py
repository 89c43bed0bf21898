"""What a registry does before it serves: it prepares its tables, checks them against head and log, and begins its log.

Guarantees that a register which its own records, head or log contradict is not served.
"""

from collections.abc import Iterable

from sqlalchemy import Connection

from services.chassis.clock import Clock
from services.chassis.db import Database
from services.formats.register_entry import RegisterEvent
from services.registry import store
from services.registry.domain.snapshot import Snapshot
from services.registry.log import Event, RegisterLog, service_event
from services.registry.migrations.start import SCHEMA


def open_register(database: Database, log: RegisterLog, trust_domain: str, clock: Clock) -> Snapshot:
    """The newest snapshot, once everything agrees with it.

    Raises: SchemaError, saying what to do; AccordError STORAGE_UNAVAILABLE, LEDGER_ROLLED_BACK.
    """
    SCHEMA.prepare(database)
    with database.write() as connection:
        store.prepare(connection)
        found = store.snapshot(connection, lock=True)
        store.check(connection, trust_domain)
        if log.create(connection):
            log.append(connection, clock.wall_ms(), found.pin, list(_carried(connection)))
        log.verify(connection, found.pin)
    return found


def _carried(connection: Connection) -> Iterable[Event]:
    """What stood in the register before it had a log."""
    for organization in store.list_organizations(connection):
        yield Event(RegisterEvent.REGISTER_CARRIED, organization.name, "")
    for service in store.list_services(connection):
        yield service_event(RegisterEvent.REGISTER_CARRIED, service, "", more={"record": service.record.decode()})

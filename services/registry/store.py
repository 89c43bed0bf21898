"""Every statement on the register's tables.

Guarantees that domain values go in and come out, and that the snapshot's head always names the records beside it: a write
that changes a service calls `advance` in its own transaction, and a head that does not match is never handed out. Leaves
the transaction to the caller, who begins each write with `snapshot(connection, lock=True)`: that alone keeps the sequence
without gaps or repeats, whoever else writes.

A service's `record` is stored as the exact bytes that stand in the snapshot, beside the columns it was made from;
`check` compares the two.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, Table, insert, select, update

from services.errors import AccordError, Reason
from services.formats.entry import Pin
from services.registry import rows
from services.registry.domain.service import Organization, RecordedOrganization, Service, spiffe_id
from services.registry.domain.snapshot import EMPTY, Snapshot
from services.registry.tables import CHECKPOINT, ORGANIZATION, SERVICE, SERVICE_KEY, SNAPSHOT

_HEAD_ID = 1


def prepare(connection: Connection) -> None:
    """Writes the head of the empty snapshot into a new database."""
    if connection.execute(select(SNAPSHOT.c.id)).first() is None:
        values = {"id": _HEAD_ID, "sequence": EMPTY.pin.sequence, "hash": EMPTY.pin.hash}
        connection.execute(insert(SNAPSHOT).values(values))


def head(connection: Connection, *, lock: bool = False) -> Pin:
    """The newest snapshot's sequence and hash; `lock` keeps other writers out until the transaction ends.

    Raises: AccordError STORAGE_UNAVAILABLE when it is missing.
    """
    statement = select(SNAPSHOT.c.sequence, SNAPSHOT.c.hash).where(SNAPSHOT.c.id == _HEAD_ID)
    row = connection.execute(statement.with_for_update() if lock else statement).first()
    if row is None:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "the register has no head")
    return Pin(row.sequence, row.hash)


def snapshot(connection: Connection, *, lock: bool = False) -> Snapshot:
    """The newest snapshot. Raises: AccordError STORAGE_UNAVAILABLE when records and head differ."""
    pin = head(connection, lock=lock)
    found = Snapshot.of(pin.sequence, _records(connection))
    if found.pin != pin:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "the register's records are not those its head names")
    return found


def advance(connection: Connection, before: Snapshot) -> Snapshot:
    """Moves the head on to the records as they now are, in the transaction that changed them."""
    after = Snapshot.of(before.pin.sequence + 1, _records(connection))
    statement = update(SNAPSHOT).where(SNAPSHOT.c.id == _HEAD_ID)
    connection.execute(statement.values(sequence=after.pin.sequence, hash=after.pin.hash))
    return after


def check(connection: Connection, trust_domain: str) -> Snapshot:
    """The newest snapshot, after comparing every record with its row's columns and with our trust domain.

    Raises: AccordError STORAGE_UNAVAILABLE when they differ.
    """
    found = snapshot(connection)
    try:
        services = {service.name: service for service in list_services(connection)}
    except ValueError:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "a service's columns cannot be read") from None
    if tuple(services[name].record for name in sorted(services)) != found.records:
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "a service's record is not what its columns say")
    if any(service.spiffe_id != spiffe_id(service.name, trust_domain) for service in services.values()):
        raise AccordError(Reason.STORAGE_UNAVAILABLE, "the register is of another trust domain")
    return found


def find_organization(connection: Connection, name: str) -> RecordedOrganization | None:
    """The organisation of this name."""
    row = connection.execute(select(ORGANIZATION).where(ORGANIZATION.c.name == name)).mappings().first()
    return None if row is None else rows.read_organization(row)


def find_service(connection: Connection, name: str) -> Service | None:
    """The service of this name."""
    row = connection.execute(select(SERVICE).where(SERVICE.c.name == name)).mappings().first()
    return None if row is None else _with_keys(connection, [row])[0]


def list_organizations(connection: Connection) -> list[Organization]:
    """Every organisation, in order of name."""
    found = connection.execute(select(ORGANIZATION).order_by(ORGANIZATION.c.name)).mappings()
    return [rows.read_organization(row).organization for row in found]


def list_services(connection: Connection, after: str = "", limit: int | None = None) -> list[Service]:
    """At most `limit` services in order of name, from the first whose name follows `after`."""
    statement = select(SERVICE).where(SERVICE.c.name > after).order_by(SERVICE.c.name).limit(limit)
    return _with_keys(connection, connection.execute(statement).mappings().all())


def siren_is_held(connection: Connection, siren: str) -> bool:
    """Whether an organisation has this SIREN."""
    return _holds(connection, ORGANIZATION, "siren", siren)


def organization_oid_is_held(connection: Connection, oid: str) -> bool:
    """Whether an organisation has this OID."""
    return _holds(connection, ORGANIZATION, "oid", oid)


def service_oid_is_held(connection: Connection, oid: str) -> bool:
    """Whether a service has this OID."""
    return _holds(connection, SERVICE, "oid", oid)


def key_is_held(connection: Connection, kid: str) -> bool:
    """Whether a service signs with this key."""
    return _holds(connection, SERVICE_KEY, "kid", kid)


def insert_organization(connection: Connection, recorded: RecordedOrganization) -> None:
    """Records an organisation."""
    connection.execute(insert(ORGANIZATION).values(rows.organization_values(recorded)))


def update_organization(connection: Connection, recorded: RecordedOrganization) -> None:
    """Stores whether an organisation is suspended."""
    statement = update(ORGANIZATION).where(ORGANIZATION.c.name == recorded.name)
    connection.execute(statement.values(rows.organization_state(recorded)))


def services_of(connection: Connection, organization: str) -> list[Service]:
    """An organisation's services, in order of name."""
    statement = select(SERVICE).where(SERVICE.c.organization == organization).order_by(SERVICE.c.name)
    return _with_keys(connection, connection.execute(statement).mappings().all())


def insert_service(connection: Connection, service: Service) -> None:
    """Records a service and its keys; the head is the caller's to advance."""
    connection.execute(insert(SERVICE).values(rows.service_values(service)))
    connection.execute(insert(SERVICE_KEY), rows.key_values(service))


def update_service(connection: Connection, service: Service) -> None:
    """Stores where a service now stands; the head is the caller's to advance."""
    connection.execute(update(SERVICE).where(SERVICE.c.name == service.name).values(rows.state_values(service)))


def checkpoints(connection: Connection) -> dict[str, str]:
    """The ledger's highest checkpoint seen of each log: signed notes by origin."""
    return {row.origin: row.note for row in connection.execute(select(CHECKPOINT))}


def keep_checkpoint(connection: Connection, origin: str, note: str) -> None:
    """Replaces the checkpoint of a log; the witness has checked that it continues the one before."""
    kept = update(CHECKPOINT).where(CHECKPOINT.c.origin == origin).values(note=note)
    if connection.execute(kept).rowcount == 0:
        connection.execute(insert(CHECKPOINT).values(origin=origin, note=note))


def _holds(connection: Connection, table: Table, column: str, value: str) -> bool:
    return connection.execute(select(table.c[column]).where(table.c[column] == value)).first() is not None


def _records(connection: Connection) -> list[bytes]:
    # Sorted here: a database's collation is not the snapshot's order.
    found = connection.execute(select(SERVICE.c.name, SERVICE.c.record)).all()
    return [record for _, record in sorted((name, bytes(record)) for name, record in found)]


def _with_keys(connection: Connection, found: Sequence[RowMapping]) -> list[Service]:
    jwks: dict[str, list[str]] = {row["name"]: [] for row in found}
    statement = select(SERVICE_KEY).where(SERVICE_KEY.c.service.in_(jwks)).order_by(SERVICE_KEY.c.position)
    for key in connection.execute(statement).mappings():
        jwks[key["service"]].append(key["jwk"])
    return [rows.read_service(row, jwks[row["name"]]) for row in found]

"""What the database holds is what was put in, or nothing of it is used."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text

from services.chassis.db import Database
from services.errors import AccordError, Reason
from services.formats.lease import Status
from services.registry import store
from services.registry.domain.service import RecordedOrganization, Service, admit
from services.registry.domain.snapshot import EMPTY, Snapshot
from services.registry.domain.status import Standing
from tests.support.register import TRUST_DOMAIN, application, organization, p256_signer, signer


def put(database: Database, *numbers: int) -> list[Service]:
    """Record services, each of its own organisation, each in one transaction."""
    services = []
    for number in numbers:
        with database.write() as connection:
            before = store.snapshot(connection, lock=True)
            store.insert_organization(connection, RecordedOrganization(organization(number), 5))
            services.append(admit(application(number, signer(), p256_signer()), TRUST_DOMAIN, 7))
            store.insert_service(connection, services[-1])
            store.advance(connection, before)
    return services


def test_a_new_register_holds_the_empty_snapshot_of_sequence_1_and_preparing_it_again_changes_nothing(
    database: Database,
) -> None:
    put(database, 1)
    with database.write() as connection:
        store.prepare(connection)
        assert store.head(connection).sequence == 2
    assert EMPTY.pin.sequence == 1
    assert EMPTY.records == ()


def test_organizations_services_and_their_keys_come_back_equal_and_in_order(database: Database) -> None:
    services = put(database, 2, 10, 1)
    with database.read() as connection:
        assert store.find_organization(connection, "organizations/org-2") == RecordedOrganization(organization(2), 5)
        assert store.find_service(connection, "services/service-10") == services[1]
        assert store.list_services(connection) == [services[2], services[1], services[0]]
        assert store.list_services(connection, "services/service-1", 1) == [services[1]]
        assert store.find_service(connection, "services/none") is None
        assert store.find_organization(connection, "organizations/none") is None


def test_a_suspension_comes_back_with_the_status_it_replaced(database: Database) -> None:
    (service,) = put(database, 1)
    moved = replace(service, standing=Standing(Status.SUSPENDED, Status.REFERENCED_WITH_EXCHANGE), revision=3)
    with database.write() as connection:
        before = store.snapshot(connection)
        store.update_service(connection, moved)
        after = store.advance(connection, before)
        assert store.find_service(connection, service.name) == moved
    assert after == Snapshot.of(3, [moved.record])


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE service SET record = CAST('{}' AS {bytes})",
        "UPDATE snapshot SET hash = '00'",
        "DELETE FROM snapshot",
        "DELETE FROM service_key; DELETE FROM service",
    ],
)
def test_a_snapshot_that_is_not_the_one_its_head_names_is_never_handed_out(database: Database, tampering: str) -> None:
    put(database, 1)
    tamper(database, tampering)
    with pytest.raises(AccordError) as raised, database.read() as connection:
        store.snapshot(connection)
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE service SET status = 'REFERENCED_WITH_EXCHANGE'",
        "UPDATE service SET status = 'NO_SUCH_STATUS'",
        "UPDATE service SET before = 'APPLIED'",
        "UPDATE service SET convention = '{}'",
        "UPDATE service SET spiffe_id = 'spiffe://mes.example/service/other'",
        "DELETE FROM service_key WHERE position = 0",
    ],
)
def test_a_start_refuses_columns_that_do_not_make_the_record(database: Database, tampering: str) -> None:
    put(database, 1)
    with database.read() as connection:
        assert store.check(connection, TRUST_DOMAIN).pin.sequence == 2
    tamper(database, tampering)
    with pytest.raises(AccordError) as raised, database.read() as connection:
        store.check(connection, TRUST_DOMAIN)
    assert raised.value.reason is Reason.STORAGE_UNAVAILABLE


def test_a_start_refuses_the_register_of_another_trust_domain(database: Database) -> None:
    put(database, 1)
    with pytest.raises(AccordError, match="another trust domain"), database.read() as connection:
        store.check(connection, "other.example")


def test_concurrent_writers_leave_no_gap_and_no_repeat_in_the_sequence(database: Database, database_url: str) -> None:
    (service,) = put(database, 1)
    writers = [Database(database_url) for _ in range(4)]

    def move(number: int) -> int:
        with writers[number % 4].write() as connection:
            before = store.snapshot(connection, lock=True)
            store.update_service(connection, replace(service, standing=standing(number), revision=number))
            return store.advance(connection, before).pin.sequence

    with ThreadPoolExecutor(4) as pool:
        sequences = list(pool.map(move, range(40)))
    for writer in writers:
        writer.close()
    assert sorted(sequences) == list(range(3, 43))
    with database.read() as connection:
        assert store.check(connection, TRUST_DOMAIN).pin.sequence == 42


def standing(number: int) -> Standing:
    """One of two stages, by parity."""
    return Standing(Status.REFERENCED_WITH_EXCHANGE if number % 2 else Status.REFERENCED_WITHOUT_EXCHANGE)


def tamper(database: Database, statements: str) -> None:
    """Run SQL beside the store, as a database administrator could."""
    with database.write() as connection:
        kind = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
        for statement in statements.replace("{bytes}", kind).split("; "):
            connection.execute(text(statement))

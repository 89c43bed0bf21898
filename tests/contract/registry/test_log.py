"""The register's log: every change is an entry under the snapshot it led to, and a log that does not hold is not served."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, text

from services.chassis.db import Database
from services.chassis.migrations import migrate
from services.chassis.tree_store import read_nodes
from services.errors import AccordError, Reason
from services.formats.canonical import loads
from services.formats.entry import commitment
from services.formats.register_entry import RegisterEntry, RegisterEvent, parse_register_entry
from services.registry import store
from services.registry.domain.service import RecordedOrganization, admit
from services.registry.migrations import FOLDER
from services.registry.start import open_register
from services.registry.tables import ENTRY, LOG
from services.tlog.checkpoint import open_checkpoint
from services.tlog.proof import inclusion_proof, verify_inclusion
from services.tlog.tree import leaf_hash, merkle_root
from tests.contract.registry.test_catalog import NAME, created, moved
from tests.support.register import REGISTRAR, TRUST_DOMAIN, application, organization
from tests.support.registers import Register, StillClock, open_database, register_log


def rows(database: Database) -> list[Any]:
    with database.read() as connection:
        return list(connection.execute(select(ENTRY).order_by(ENTRY.c.idx)).all())


def entries(database: Database) -> list[RegisterEntry]:
    return [parse_register_entry(row.data) for row in rows(database)]


async def test_each_change_is_an_entry_under_the_snapshot_it_led_to_and_a_repeat_is_none(register: Register) -> None:
    service = await created(register)
    register.clock.ms += 1000
    await moved(register, "with")
    await moved(register, "with")
    register.clock.ms -= 500  # a clock that steps back never makes an entry older than the one before
    suspended = await moved(register, "suspend", why="Manquement à la convention.")
    found = entries(register.database)
    assert [(item.type, item.resource, item.status) for item in found] == [
        (RegisterEvent.ORGANIZATION_RECORDED, "organizations/org-1", ""),
        (RegisterEvent.SERVICE_APPLIED, NAME, "APPLIED"),
        (RegisterEvent.SERVICE_REFERENCED, NAME, "REFERENCED_WITH_EXCHANGE"),
        (RegisterEvent.SERVICE_SUSPENDED, NAME, "SUSPENDED"),
    ]
    assert [item.registry.sequence for item in found] == [1, 2, 3, 4]
    assert found[-1].registry == (await register.leases.current()).pin
    assert (found[1].record, found[3].record) == (leaf_hash(service.record).hex(), leaf_hash(suspended.record).hex())
    assert found[3].time_ms == found[2].time_ms == found[1].time_ms + 1000


async def test_who_and_why_stand_behind_the_commitment_and_not_in_the_entry(register: Register) -> None:
    await created(register)
    await moved(register, "with")
    await moved(register, "suspend", why="Signalé par Mme Martin.")
    for row in rows(register.database):
        assert b'registrar"' in row.data
        assert REGISTRAR.encode() not in row.data
        assert b"Martin" not in row.data
        assert commitment(row.salt, row.body) == parse_register_entry(row.data).commit
        assert loads(row.body)["author"] == REGISTRAR
    assert loads(rows(register.database)[-1].body)["justification"] == "Signalé par Mme Martin."


async def test_the_head_is_signed_over_exactly_the_entries_and_each_is_proven(register: Register) -> None:
    await asyncio.gather(*(created(register, number) for number in range(1, 6)))
    with register.database.read() as connection:
        head = connection.execute(select(LOG)).one()
        data = [row.data for row in connection.execute(select(ENTRY).order_by(ENTRY.c.idx))]
        checkpoint = open_checkpoint(head.note, register_log()._signer.verifier)
        assert (checkpoint.size, checkpoint.root) == (10, merkle_root([leaf_hash(item) for item in data]))
        for index, item in enumerate(data):
            path = inclusion_proof(index, 10, lambda nodes: read_nodes(connection, {"epoch": 1}, nodes))
            verify_inclusion(leaf_hash(item), index, 10, path, checkpoint.root)


async def test_a_change_that_is_refused_leaves_no_entry(register: Register) -> None:
    await created(register)
    before = entries(register.database)
    with pytest.raises(AccordError):
        await moved(register, "suspend")
    assert entries(register.database) == before


@pytest.mark.parametrize(
    "tampering",
    [
        "UPDATE log SET size = size - 1",
        "UPDATE log SET time_ms = time_ms + 1",
        "UPDATE log SET note = replace(note, 'mes', 'sem')",
        "UPDATE log SET origin = 'mes.example/register/2'",
        "DELETE FROM log",
        "DELETE FROM entry WHERE idx = 2",
        "UPDATE node SET hash = (SELECT hash FROM node WHERE level = 0 AND idx = 0) WHERE level = 0 AND idx = 2",
        "UPDATE entry SET data = (SELECT data FROM entry WHERE idx = 0) WHERE idx = 2",
        "UPDATE snapshot SET sequence = sequence + 1",
    ],
)
async def test_a_register_that_its_log_contradicts_is_not_served(register: Register, tampering: str) -> None:
    await created(register)
    await moved(register, "with")
    open_register(register.database, register_log(), TRUST_DOMAIN, register.clock)
    with register.database.write() as connection:
        connection.execute(text(tampering))
    with pytest.raises(AccordError) as refused:
        open_register(register.database, register_log(), TRUST_DOMAIN, register.clock)
    assert refused.value.reason is Reason.LEDGER_ROLLED_BACK


async def test_a_head_behind_one_that_was_seen_is_never_extended(register: Register) -> None:
    await created(register)
    with register.database.read() as connection:
        old = connection.execute(select(LOG)).mappings().one()
    await moved(register, "with")
    with register.database.write() as connection:
        connection.execute(text("DELETE FROM entry WHERE idx = 2"))
        connection.execute(LOG.update().values(dict(old)))
    with pytest.raises(AccordError) as refused:
        await moved(register, "suspend")
    assert refused.value.reason is Reason.LEDGER_ROLLED_BACK


def test_a_register_from_before_the_log_is_carried_into_it(database_url: str) -> None:
    database, clock = Database(database_url), StillClock()
    migrate(database, FOLDER)
    with database.write() as connection:
        store.prepare(connection)
        before = store.snapshot(connection, lock=True)
        store.insert_organization(connection, RecordedOrganization(organization(1), 5))
        service = admit(application(1), TRUST_DOMAIN, 7)
        store.insert_service(connection, service)
        pin = store.advance(connection, before).pin
    for _ in range(2):
        open_register(database, register_log(), TRUST_DOMAIN, clock)
        found = entries(database)
        assert [(item.type, item.resource, item.actor, item.registry) for item in found] == [
            (RegisterEvent.REGISTER_CARRIED, "organizations/org-1", "register", pin),
            (RegisterEvent.REGISTER_CARRIED, NAME, "register", pin),
        ]
        assert found[1].record == leaf_hash(service.record).hex()
    database.close()


def test_two_processes_append_to_one_log(database_url: str) -> None:
    async def play() -> None:

        registers = [Register(open_database(database_url), database_url) for _ in range(2)]
        await created(registers[0])
        for number in range(10):
            await moved(registers[number % 2], "with" if number % 2 else "without")
        found = entries(registers[0].database)
        assert [item.registry.sequence for item in found] == list(range(1, 13))
        with registers[1].database.write() as connection:
            register_log().verify(connection, found[-1].registry)
        for one in registers:
            one.executor.shutdown()
            one.database.close()

    asyncio.run(play())

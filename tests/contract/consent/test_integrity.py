"""A full verification: what it says of a whole ledger, and of one that is not; what it reads, and what it needs."""

import json
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, update

from services.chassis.db import Database
from services.chassis.keys import derive
from services.chassis.migrations import migrate
from services.consent import integrity, migrations, tables
from services.consent.domain.identifiers import Identifiers
from services.consent.locked import draft
from services.consent.vault import Vault
from services.formats.entry import EntryType
from services.formats.trust import Trust
from services.tlog.note import Verifier
from tests.contract.consent.behind import change, rows, value
from tests.support.eventful import everything, trust_of
from tests.support.ledgers import PUBLIC_KEY, Bench, build, query, revoking

ALL_TABLES = tables.metadata.sorted_tables


@pytest.fixture
async def eventful(database_url: str) -> AsyncIterator[Bench]:
    """A ledger to which everything has happened."""
    bench = build(database_url)
    await everything(bench)
    yield bench
    await bench.close()


def report(bench: Bench, limit: int = 100_000) -> integrity.Report:
    return integrity.check(
        bench.database, trust_of(bench), integrity.Secrets(bench.vault, bench.identifiers), limit=limit
    )


async def test_everything_has_happened_and_all_of_it_holds(eventful: Bench) -> None:
    found = report(eventful)
    assert (found.findings, found.found, found.notes) == ((), 0, ())
    assert set(eventful.kinds()) == {item.value for item in EntryType} - {"ledger.recovered", "index.root"}
    assert found.entries == found.opened + found.closed == len(eventful.entries())
    assert found.closed == found.covered > 10
    empty = [table.name for table in ALL_TABLES if not rows(eventful, table.name)]
    assert empty == []


def test_what_cannot_be_verified_exists() -> None:
    assert integrity.UNVERIFIED.keys() <= {f"{table.name}.{column.name}" for table in ALL_TABLES for column in table.c}


async def test_without_the_secrets_the_log_and_what_stands_in_clear_are_verified_and_the_report_says_so(
    eventful: Bench,
) -> None:
    found = integrity.check(eventful.database, trust_of(eventful), None)
    assert (found.found, found.opened, len(found.notes)) == (0, 0, 1)
    change(
        eventful,
        "UPDATE consent SET state = 'ACTIVE', standing = true WHERE id = (SELECT max(id) FROM consent WHERE NOT standing)",
    )
    (finding, *_) = integrity.check(eventful.database, trust_of(eventful), None).findings
    assert (finding.table, finding.what.partition(":")[0]) == ("consent", "state, standing")


async def test_a_consent_brought_back_to_life_in_its_rows_is_found(bench: Bench) -> None:
    """The withdrawal stays in the log; only what decisions read is as if it had not been."""
    address = await bench.consenting()
    consent = next(item for item in rows(bench, "consent"))
    before = {name: rows(bench, name) for name in ("consent", "revision")}
    await bench.ledger.do(revoking(0, consent.id))
    for name, old in before.items():
        table = tables.metadata.tables[name]
        with bench.database.write() as connection:
            connection.execute(delete(table))
            connection.execute(insert(table), [row._asdict() for row in old])
    assert (await bench.authorize(query(address))).permit is not None
    assert next((item.table, item.index) for item in report(bench).findings) == ("revision", len(bench.entries()) - 2)


async def test_findings_are_listed_up_to_a_limit_and_counted_beyond(eventful: Bench) -> None:
    with eventful.database.write() as connection:
        connection.execute(update(tables.table(tables.Node)).values(hash=b"\0" * 32))
    found = report(eventful, limit=7)
    assert len(found.findings) == 7
    assert found.found > 100


async def test_every_shard_and_every_row_of_no_shard_is_looked_at(sharded: Bench) -> None:
    for number in range(12):
        await sharded.consenting(number)
    assert report(sharded).found == 0
    assert {log.shard for log in report(sharded).logs} == {0, 1, 2, 3}
    change(
        sharded,
        "UPDATE head SET note = :note WHERE shard = 2",
        note=value(sharded, "SELECT note FROM head WHERE shard = 1"),
    )
    change(sharded, "UPDATE head SET shard = 9 WHERE shard = 3")
    found = {(item.table, item.shard) for item in report(sharded).findings}
    assert found >= {("head", 2), ("head", 3), ("head", 9)}


async def test_a_log_that_trust_does_not_list_or_lists_under_another_key_is_found(bench: Bench) -> None:
    await bench.consenting()
    origin = bench.logs[0].origin
    others = [
        Trust("accord.example", (), ()),
        Trust("accord.example", (Verifier(origin, b"k" * 32),), ()),
        Trust("accord.example", (Verifier(origin, PUBLIC_KEY), Verifier("accord.example/ledger/1/1", PUBLIC_KEY)), ()),
        Trust("other.example", (Verifier("other.example/ledger/1/0", PUBLIC_KEY),), ()),
    ]
    for trust in others:
        found = integrity.check(bench.database, trust, None)
        assert "head" in {item.table for item in found.findings}


def test_a_ledger_of_release_0_1_0_holds_once_it_is_migrated(tmp_path: Path) -> None:
    """Its openings of exchanges have the record's keys, and it kept no registry records: the report notes that."""
    release, path = Path(__file__).parents[1] / "release_0_1_0", tmp_path / "ledger.db"
    with closing(sqlite3.connect(path)) as old, old:
        old.executescript((release / "sqlite.sql").read_text())
        for name, old_rows in json.loads((release / "rows.json").read_text()).items():
            for row in old_rows:
                cells = [bytes.fromhex(cell["hex"]) if isinstance(cell, dict) else cell for cell in row.values()]
                columns, marks = ", ".join(row), ", ".join("?" * len(row))
                old.execute(f'INSERT INTO "{name}" ({columns}) VALUES ({marks})', cells)
    database = Database(f"sqlite:///{path}")
    migrate(database, migrations.FOLDER)
    logs = tuple(Verifier(f"accord.example/ledger/1/{shard}", PUBLIC_KEY) for shard in range(2))
    vault = Vault(lambda label: derive(b"m" * 32, label), os.urandom)
    secrets = integrity.Secrets(vault, Identifiers(lambda audience: derive(b"m" * 32, audience)))
    found = integrity.check(database, Trust("accord.example", logs, ()), secrets)
    assert (found.findings, found.opened, len(found.notes)) == ((), 25, 1)
    database.close()


async def test_another_master_secret_opens_nothing_and_every_opening_says_so(bench: Bench) -> None:
    await bench.consenting()
    other = integrity.Secrets(Vault(lambda label: b"x" * 32, bytes), Identifiers(lambda audience: b"x" * 32))
    found = integrity.check(bench.database, trust_of(bench), other)
    assert found.opened == 0
    assert {item.index for item in found.findings if item.table == "opening"} == set(range(len(bench.entries())))


async def test_a_service_may_go_on_meanwhile_and_progress_is_told(bench: Bench, database_url: str) -> None:
    """The snapshot is the verification's own: what is appended while it reads is not half seen."""
    address = await bench.consenting()
    told: list[integrity.Progress] = []
    other = build(database_url, clock=bench.clock, view=bench.view)
    size = len(bench.entries())

    def appending(progress: integrity.Progress) -> None:
        told.append(progress)
        with other.logs[0].locked() as locked:
            locked.append(draft(EntryType.AUDIT_READ, "auditor", {}))

    secrets = integrity.Secrets(bench.vault, bench.identifiers)
    assert integrity.check(bench.database, trust_of(bench), secrets, appending).found == 0
    assert told == [integrity.Progress(bench.logs[0].origin, size, size)]
    assert len(other.entries()) == size + 1
    assert (await bench.authorize(query(address))).permit is not None
    await other.close()

"""What release 0.1.0 kept is there after version 2: every row, with what is new filled in, and a ledger that goes on."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import MetaData, text
from sqlalchemy.exc import IntegrityError

from services.chassis.db import Database
from services.chassis.migrations import SchemaError, migrate, version_of
from services.consent import integrity
from services.consent.domain import commands as c
from services.consent.migrations import FOLDER
from services.formats.entry import EntryType
from tests.support.eventful import trust_of
from tests.support.ledgers import DAY_MS, HOLDER, NOW_MS, HeldClock, HeldView, build, query, record, revoking
from tests.support.release_0_1_0 import Rows, held, in_order, released, rows

SENDER, RECIPIENT = "services/lumen", "services/carnet"
MADE = {(0, 12): NOW_MS + 60_000, (0, 13): NOW_MS + 120_000}
"""When the revisions were made that were not made at NOW_MS, by shard and index."""
NEW = ("alias", "identity", "representative", "quota_use", "assertion", "consent_request", "registry_record", "trace")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database of release 0.1.0, with its rows."""
    one = Database(database_url)
    released(one)
    yield one
    one.close()


def read(database: Database) -> Rows:
    found = MetaData()
    with database.read() as connection:
        found.reflect(connection)
        return held(connection, found)


def run(database: Database, *statements: str) -> None:
    with database.write() as connection:
        for statement in statements:
            connection.execute(text(statement))


def carried(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """What version 2 makes of a row."""
    match name:
        case "head" | "entry" | "node" | "authorization":
            return row | {"epoch": 1}
        case "opening":
            return row | {"epoch": 1, "use": 0}
        case "data_key":
            return row | {"use": 0}
        case "revision":
            return row | {"epoch": 1, "time_ms": MADE.get((row["shard"], row["idx"]), NOW_MS)}
        case "patient":
            assert row["status"] == "OPEN"
            return row | {"status": "ACTIVE", "opens_ms": None, "majority_ms": None, "aliases": 0}
        case "consent":
            stands = {"ACTIVE": True, "REVOKED": False}[row["state"]]
            return row | {"standing": stands, "cause": "", "limits": "", "acknowledged_ms": None}
    return row


def test_every_row_is_carried_and_what_is_new_is_filled_in(database: Database) -> None:
    migrate(database, FOLDER)
    expected = {name: in_order([carried(name, row) for row in some]) for name, some in rows().items()}
    assert read(database) == expected | {name: [] for name in NEW}
    assert {row["state"] for row in expected["consent"]} == {"ACTIVE", "REVOKED"}


def test_each_shard_s_rows_bear_the_epoch_that_its_own_origin_names(database: Database) -> None:
    run(database, "UPDATE head SET origin = 'accord.example/ledger/12/1' WHERE shard = 1")
    migrate(database, FOLDER)
    found = read(database)
    for name in ("head", "entry", "node", "opening", "authorization", "revision"):
        assert {(row["shard"], row["epoch"]) for row in found[name]} == {(0, 1), (1, 12)}


def test_more_revisions_than_are_read_at_once_are_all_carried(database: Database) -> None:
    """Of a consent that was revised a thousand times, by entries of which some are as long as an entry may be."""
    run(database, "DELETE FROM revision")
    with database.write() as connection:
        (data,) = (row["data"] for row in rows()["entry"] if (row["shard"], row["idx"]) == (0, 0))
        again = [{"i": index, "data": data.ljust(65_535) if index % 100 == 0 else data} for index in range(100, 1100)]
        connection.execute(text("INSERT INTO entry (shard, idx, data) VALUES (0, :i, :data)"), again)
        connection.execute(text("INSERT INTO revision VALUES (0, 1, :i, 'ACTIVE', :i)"), again)
    migrate(database, FOLDER)
    made = [(row["revision"], row["idx"], row["time_ms"]) for row in read(database)["revision"]]
    assert sorted(made) == [(index, index, NOW_MS) for index in range(100, 1100)]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE head SET origin = 'accord.example/0' WHERE shard = 1", "names no epoch: 'accord.example/0'"),
        ("UPDATE head SET origin = 'accord.example/ledger/one/1' WHERE shard = 1", "names no epoch"),
        ("DELETE FROM entry WHERE shard = 0 AND idx = 13", "cannot be read: shard 0, index 13"),
        ("UPDATE entry SET data = CAST('{}' AS {bytes}) WHERE idx = 12", "cannot be read: shard 0, index 12"),
        ("UPDATE entry SET data = CAST('{' AS {bytes}) WHERE idx = 12", "cannot be read: shard 0, index 12"),
        ("DELETE FROM head WHERE shard = 1", "epoch"),
    ],
)
def test_what_cannot_be_carried_stops_the_migration_and_stays_as_it_was(
    database: Database, change: str, problem: str
) -> None:
    with database.read() as connection:
        kind = "BYTEA" if connection.dialect.name == "postgresql" else "BLOB"
    run(database, change.replace("{bytes}", kind))
    before = read(database)
    with pytest.raises((SchemaError, IntegrityError), match=problem):
        migrate(database, FOLDER)
    assert read(database) == before
    with database.read() as connection:
        assert version_of(connection) == 1


def test_what_release_0_1_0_appends_beside_a_migration_is_carried_too(postgresql_url: str) -> None:
    """Its transactions lock the shard's head first: the migration waits there for the one under way."""
    database, beside = Database(postgresql_url), Database(postgresql_url)
    released(database)
    migrate(database, FOLDER, to=1)
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
    with beside.write() as connection:
        connection.execute(text("SELECT 1 FROM head WHERE shard = 0 FOR UPDATE"))
        thread = threading.Thread(target=migrate, args=(database, FOLDER))
        thread.start()
        while not connection.execute(waiting).scalar_one():
            assert thread.is_alive()
        connection.execute(text("INSERT INTO entry (shard, idx, data) VALUES (0, 16, 'late')"))
        connection.execute(text("UPDATE head SET size = 17 WHERE shard = 0"))
    thread.join()
    found = read(database)
    assert b"late" in [row["data"] for row in found["entry"]]
    assert [row["size"] for row in found["head"] if row["shard"] == 0] == [17]
    database.close()
    beside.close()


async def test_the_ledger_goes_on(database: Database, database_url: str) -> None:
    """Its heads hold, every opening opens, its consents carry exchanges and can be withdrawn, its patients be erased."""
    view = HeldView()
    for _ in range(2):  # the first snapshot is the one that release 0.1.0 decided by
        view.set([record(SENDER), record(RECIPIENT)])
    bench = build(database_url, shards=2, clock=HeldClock(NOW_MS + DAY_MS), view=view)
    for patient in {(row["shard"], row["patient"]) for row in rows()["consent"]}:
        address = c.Address(*patient)
        decision = await bench.authorize(query(address))
        assert decision.permit is not None
        stand = [row for row in rows()["consent"] if (row["shard"], row["patient"]) == patient]
        for row in stand:
            withdrawn = await bench.ledger.do(revoking(row["shard"], row["id"]))
            assert withdrawn.revision == 2
        await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
    _, covers = await bench.ledger.do(c.Erase(address, "art17", False))
    assert covers > 0
    assert bench.entries(address.shard)[-1].type is EntryType.PATIENT_ERASED
    report = integrity.check(bench.database, trust_of(bench), integrity.Secrets(bench.vault, bench.identifiers))
    assert report.covered == covers == report.closed
    assert report.opened + report.closed == report.entries
    assert report.findings == ()
    await bench.close()

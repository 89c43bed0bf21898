"""`accord ledger reindex`: whatever was done to the index, it says afterwards what the log says."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.ctl.ledger import ledger_app
from tests.support.ledger_site import Site


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    await made.grow(2)
    return made


def run(site: Site, command: str, *more: str) -> Result:
    return CliRunner().invoke(ledger_app, [command, "--config", str(site.config), *more])


def rows(site: Site, statement: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(site.folder / "ledger.db") as connection:
        found = connection.execute(statement).fetchall()
    connection.close()
    return found


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE trace SET service = 'services/another', reason = 'CONSENT_MISSING' WHERE idx = 2",
        "DELETE FROM trace WHERE idx IN (1, 3)",
        "DELETE FROM trace",
        "UPDATE trace SET idx = 99 WHERE idx = 4",
    ],
    ids=["a row that lies", "gaps", "nothing left", "a row of no entry"],
)
def test_the_index_says_again_what_the_log_says(site: Site, damage: str) -> None:
    assert run(site, "reindex").exit_code == 0
    whole = rows(site, "SELECT * FROM trace ORDER BY shard, epoch, idx")
    rows(site, damage)
    done = run(site, "reindex")
    assert (done.exit_code, "accord.example/ledger/1/0: 5 entries indexed" in done.stdout) == (0, True)
    assert rows(site, "SELECT * FROM trace ORDER BY shard, epoch, idx") == whole
    assert len(whole) == 5
    assert run(site, "fsck").exit_code == 0


def test_json_is_one_object(site: Site) -> None:
    done = run(site, "reindex", "--json")
    assert json.loads(done.stdout) == {"logs": [{"origin": "accord.example/ledger/1/0", "entries": 5}]}


def test_a_log_without_its_entries_is_2(site: Site) -> None:
    rows(site, "DELETE FROM entry WHERE idx = 2")
    done = run(site, "reindex")
    assert done.exit_code == 2
    assert "LEDGER_ROLLED_BACK" in done.stderr

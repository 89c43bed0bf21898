"""`accord ledger fsck`: what it says of a ledger, and the status it ends in."""

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


def fsck(site: Site, *more: str) -> Result:
    return CliRunner().invoke(ledger_app, ["fsck", "--config", str(site.config), *more])


def damage(site: Site, statement: str) -> None:
    with sqlite3.connect(site.folder / "ledger.db") as connection:
        connection.execute(statement)
    connection.close()


def test_a_whole_ledger_is_0(site: Site) -> None:
    done = fsck(site)
    assert (done.exit_code, "everything holds: 1 log(s), 5 entries, 5 opened, 0 erased" in done.stdout) == (0, True)


def test_json_is_one_object_with_everything(site: Site) -> None:
    done = fsck(site, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["found"], told["entries"], told["opened"]) == (0, 0, 5, 5)
    assert told["logs"] == [{"origin": "accord.example/ledger/1/0", "shard": 0, "epoch": 1, "size": 5}]


def test_what_does_not_hold_is_1_and_named_by_its_place(site: Site) -> None:
    damage(site, "UPDATE opening SET sealed = zeroblob(80) WHERE idx = 3")
    damage(site, "UPDATE patient SET status = 'CLOSED' WHERE id = (SELECT min(id) FROM patient)")
    done = fsck(site)
    assert done.exit_code == 1
    assert "opening shard 0, epoch 1, index 3: does not parse or open (InvalidTag)" in done.stdout
    assert "status: not what the log says" in done.stdout
    assert "2 finding(s)" in done.stdout


def test_more_findings_than_are_listed_are_counted(site: Site) -> None:
    damage(site, "UPDATE opening SET sealed = zeroblob(80)")
    done = fsck(site, "--limit", "2")
    assert (done.exit_code, done.stdout.count("InvalidTag"), "and 3 more" in done.stdout) == (1, 2, True)


def test_without_openings_the_report_says_what_was_not_verified(site: Site) -> None:
    damage(site, "UPDATE opening SET sealed = zeroblob(80)")
    done = fsck(site, "--no-openings")
    assert (done.exit_code, "nothing was opened" in done.stdout) == (0, True)


def test_without_the_master_secret_likewise(site: Site) -> None:
    (site.folder / "keys" / "consent" / "master.key").unlink()
    done = fsck(site, "--json")
    assert (done.exit_code, len(json.loads(done.stdout)["notes"])) == (0, 1)


@pytest.mark.parametrize("missing", ["consent.toml", "trust.json"])
def test_what_cannot_be_said_is_2(site: Site, missing: str) -> None:
    (site.folder / missing).unlink()
    assert fsck(site).exit_code == 2


def test_a_database_that_is_none_is_2(site: Site) -> None:
    (site.folder / "ledger.db").write_bytes(b"no database" * 100)
    done = fsck(site)
    assert (done.exit_code, done.stdout) == (2, "")

"""`accord ledger recover`: what it takes, what it says is to be changed, and that the ledger then starts."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.chassis.config import ConfigError
from services.ctl.ledger import ledger_app
from services.ctl.witness_file import held
from services.formats.trust import parse_trust
from tests.support.ledger_site import Site


@pytest.fixture
async def site(tmp_path: Path) -> Site:
    """A ledger of 5 entries that was restored when a witness had seen 9."""
    made = Site(tmp_path)
    await made.grow(2)
    shutil.copy(tmp_path / "ledger.db", tmp_path / "backup.db")
    note = await made.grow(2)
    with held(tmp_path / "witness.json") as memory:
        await memory.keep("accord.example/ledger/1/0", note)
    (tmp_path / "checkpoint").write_text(note)
    shutil.copy(tmp_path / "backup.db", tmp_path / "ledger.db")  # its last user has closed it: there is no -wal file
    return made


def recover(site: Site, *more: str, witness: str = "witness.json", answer: str = "y\n") -> Result:
    arguments = ["recover", "--config", str(site.config), "--witness", str(site.folder / witness), *more]
    return CliRunner().invoke(ledger_app, arguments, input=answer)


@pytest.mark.parametrize("witness", ["witness.json", "checkpoint"])
async def test_it_declares_what_was_lost_and_says_what_is_to_be_changed(site: Site, witness: str) -> None:
    done = recover(site, witness=witness)
    assert done.exit_code == 0
    assert "accord.example/ledger/1/0: lost 4, from index 5 until before 9" in done.stdout
    assert "set epoch = 2" in done.stdout
    site.configure(2)
    assert (await site.grow(1)).startswith("accord.example/ledger/2/0\n3\n")


async def test_json_and_the_new_trust_with_both_epochs(site: Site) -> None:
    output = site.folder / "new.json"
    done = recover(site, "--yes", "--json", "--trust-output", str(output))
    told, trust = json.loads(done.stdout), parse_trust(output.read_bytes())
    assert (told["epoch"], told["lost"]) == (2, [{"origin": "accord.example/ledger/1/0", "size": 5, "seen": 9}])
    assert (told["suspended"], told["trust_fingerprint"]) == (0, trust.fingerprint)
    assert [log.name for log in trust.logs] == ["accord.example/ledger/1/0", "accord.example/ledger/2/0"]
    site.configure(2)
    shutil.copy(output, site.folder / "trust.json")
    checked = CliRunner().invoke(ledger_app, ["fsck", "--config", str(site.config), "--json"])
    assert (checked.exit_code, json.loads(checked.stdout)["entries"]) == (0, 6)


async def test_nothing_happens_without_a_yes(site: Site) -> None:
    assert recover(site, answer="n\n").exit_code == 1
    assert (await site.grow(0)).startswith("accord.example/ledger/1/0\n5\n")


@pytest.mark.parametrize("content", ["{}", '{"format":"other","checkpoints":[]}', "{", None])
def test_a_witness_s_file_that_is_none_is_refused(site: Site, content: str | None) -> None:
    path = site.folder / "witness.json"
    path.unlink() if content is None else path.write_text(content)
    done = recover(site, "--yes")
    assert isinstance(done.exception, ConfigError)
    assert str(path) in str(done.exception)


def test_an_export_that_is_none_is_refused(site: Site) -> None:
    assert isinstance(recover(site, "--yes", "--export", str(site.folder)).exception, ConfigError)


def test_a_second_recovery_is_refused(site: Site) -> None:
    assert recover(site, "--yes").exit_code == 0
    again = recover(site, "--yes")
    assert "recovered already" in str(again.exception)

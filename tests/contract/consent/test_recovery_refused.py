"""A ledger is not recovered from what does not hold, from what nobody saw, or while it runs: nothing is written then."""

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.chassis.db import Database
from services.consent import recovery
from services.consent.locked import draft
from services.formats.entry import EntryType
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import NoteSigner
from tests.support.ledgers import LOG_KEY, PUBLIC_KEY
from tests.support.restored import (
    Crashing,
    Loss,
    end_of,
    lose,
    trust_of,
)


@pytest.fixture
async def loss(database_url: str, tmp_path: Path) -> Loss:
    """A ledger that lost what came after its backup."""
    return await lose(database_url, tmp_path / "export")


async def refused(loss: Loss, *, exported: bool = True) -> str:
    """Why the recovery is refused; nothing was written."""
    before = end_of(loss)
    with pytest.raises(recovery.RecoveryError) as caught:
        loss.recover(exported=exported)
    assert end_of(loss) == before
    return str(caught.value)


async def test_a_restored_log_that_does_not_hold_is_refused(loss: Loss) -> None:
    database = Database(loss.url)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE consent SET state = 'SUSPENDED' WHERE state = 'ACTIVE'")
    database.close()
    assert "do not hold" in await refused(loss)


async def test_a_log_that_no_witness_has_seen_is_refused(loss: Loss) -> None:
    loss.witness.notes.popitem()
    assert "no witness has seen" in await refused(loss, exported=False)


async def test_a_witness_that_trust_does_not_explain_is_refused(loss: Loss) -> None:
    notes = loss.witness.notes
    origin = next(iter(notes))
    other = Ed25519PrivateKey.generate()
    forger = NoteSigner(origin, other.sign, other.public_key().public_bytes_raw())
    forged = sign_checkpoint(Checkpoint(origin, 10**6, b"r" * 32), forger)
    loss.witness.notes = notes | {origin: forged}
    assert "does not verify" in await refused(loss)
    loss.witness.notes = notes | {"x": notes[origin].replace("/ledger/1/", "/ledger/7/")}
    assert "TRUST does not list" in await refused(loss)


async def test_a_witness_of_another_log_than_was_restored_is_refused(loss: Loss) -> None:
    """Two logs by one key: the restored one is not the one that was seen, or two were seen."""
    notes = loss.witness.notes
    origin = next(iter(notes))
    signer = NoteSigner(origin, LOG_KEY.sign, PUBLIC_KEY)
    for size in (1, loss.sizes[0], loss.seen[0]):
        other = sign_checkpoint(Checkpoint(origin, size, b"r" * 32), signer)
        loss.witness.notes = notes | {"another": other}
        assert "is not the log that a witness saw" in await refused(loss)


async def test_an_export_that_is_not_of_the_restored_log_is_refused(loss: Loss) -> None:
    path = loss.folder / "0" / "entries.ndjson"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[1], lines[0], *lines[2:]]))
    assert "not an export of the restored log" in await refused(loss)
    path.write_bytes(b"\n".join([*lines[:-2], b""]))
    assert "not those of its checkpoint" in await refused(loss)


async def test_a_ledger_that_runs_meanwhile_ends_the_recovery(loss: Loss) -> None:
    bench = loss.build(1)

    class Running(Crashing):
        """A database that a process goes on writing to, unaware: it started before."""

        def scrub(self) -> None:
            raise AssertionError("the recovery has gone on")

    running = Running(loss.url, 0, after=False)
    real = running.write

    def writing() -> Any:
        if running.commits == 4:
            with bench.logs[0].locked() as locked:
                locked.append(draft(EntryType.AUDIT_READ, "auditor", {}))
        return real()

    running.write = writing  # type: ignore[method-assign]
    with pytest.raises(recovery.RecoveryError, match="stop the service first"):
        loss.recover(running)
    await bench.close()


async def test_a_process_that_goes_on_with_the_old_epoch_is_found(loss: Loss) -> None:
    """It had started before, and nobody stopped it: the old log ends elsewhere than the new one says."""
    bench = loss.build(1)
    loss.recover()
    with bench.logs[0].locked() as locked:
        locked.append(draft(EntryType.AUDIT_READ, "auditor", {}))
    await bench.close()
    (finding,) = loss.check(1, 2).findings
    assert (finding.table, finding.epoch, finding.index) == ("entry", 2, 0)
    assert "not where the log before it ends" in finding.what


def test_means_are_of_the_epoch_after(loss: Loss) -> None:
    database = Database(loss.url)
    with pytest.raises(recovery.RecoveryError, match="does not hold one log of epoch 2"):
        recovery.recover(database, trust_of(1), loss.secrets, loss.means(3), [])
    with pytest.raises(recovery.RecoveryError, match="for each of 1 shard"):
        recovery.recover(database, trust_of(1), loss.secrets, loss.means()[:1], [])
    database.close()

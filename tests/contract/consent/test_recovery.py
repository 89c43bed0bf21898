"""A ledger restored from a backup is recovered into a new epoch: what was lost is declared, and nothing rests on it."""

from pathlib import Path
from typing import Any

import pytest

from services.chassis.config import ConfigError
from services.chassis.db import Database
from services.chassis.witness import Witness
from services.consent import recovery
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.recovery import steps
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, Lost, parse_entry
from services.tlog.checkpoint import open_checkpoint
from services.tlog.note import Verifier
from services.tlog.tree import leaf_hash, merkle_root
from tests.support.ledgers import HOLDER, PUBLIC_KEY, RECIPIENT, SENDER, Bench, ins, outcome, query, revoking
from tests.support.restored import (
    DOMAIN,
    PATIENTS,
    SHARDS,
    CrashError,
    Crashing,
    Loss,
    Memory,
    Shown,
    copy_of,
    end_of,
    lose,
    trust_of,
)


@pytest.fixture
async def loss(database_url: str, tmp_path: Path) -> Loss:
    """A ledger that lost what came after its backup."""
    return await lose(database_url, tmp_path / "export")


def standing(rows: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for row in rows["consent"] if row["standing"]]


async def deny(bench: Bench, address: c.Address) -> Reason | None:
    """Why an exchange about this patient is denied; None when it is permitted."""
    return (await bench.authorize(query(address))).told


async def test_a_restore_is_told_by_the_witnesses_alone(loss: Loss) -> None:
    bench = loss.build(1)  # the ledger cannot know: it starts
    witness = Witness(Shown(bench.ledger.proofs), loss.witness, trust_of(1))
    await witness.start()
    with pytest.raises(AccordError) as caught:
        await witness.look()
    assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
    await bench.close()


async def test_the_new_epoch_declares_exactly_what_was_lost_and_everything_holds(loss: Loss) -> None:
    done = loss.recover()
    origins = [f"{DOMAIN}/ledger/1/{shard}" for shard in range(SHARDS)]
    assert done.lost == tuple(map(Lost, origins, loss.sizes, loss.seen))
    bench = loss.build(2)
    for shard in range(SHARDS):
        first = bench.entries(shard)[0]
        assert (first.type, first.actor, first.lost) == (EntryType.LEDGER_RECOVERED, "ledger", done.lost[shard])
        assert bench.opened(0, shard) == {}
    report = loss.check(1, 2)
    assert (report.findings, report.notes) == ((), ())
    assert {log.epoch for log in report.logs} == {1, 2}
    assert loss.check(2).found == 0  # TRUST of the new epoch alone has the key of the old one
    await bench.close()


async def test_every_consent_that_stood_is_suspended_until_it_is_confirmed(loss: Loss) -> None:
    before = {row["id"]: row for row in standing(loss.backup)}
    done = loss.recover()
    bench = loss.build(2)
    after = {row["id"]: row for row in standing(copy_of(bench.database))}
    erased = {row["id"] for row in before.values() if row["patient"] == loss.erased.patient}
    assert after.keys() == before.keys() - erased
    assert done.suspended == len(after) == 2 * (PATIENTS - 1)
    for row in after.values():
        assert (row["state"], row["cause"], row["revision"]) == (
            "SUSPENDED",
            "recovery",
            before[row["id"]]["revision"] + 1,
        )
    suspensions = [entry for shard in range(SHARDS) for entry in bench.entries(shard) if entry.cause == "recovery"]
    assert {(entry.type, entry.actor) for entry in suspensions} == {(EntryType.CONSENT_SUSPENDED, "ledger")}
    for address in set(loss.patients) - {loss.erased}:
        assert await deny(bench, address) is Reason.CONSENT_SUSPENDED
    await bench.close()


async def test_a_consent_withdrawn_in_the_lost_range_serves_nobody_until_its_holder_confirms_it(loss: Loss) -> None:
    loss.recover()
    bench = loss.build(2)
    address, lost = loss.patients[0], loss.revoked
    others = [row for row in standing(copy_of(bench.database)) if row["patient"] == address.patient]
    for row in others:
        if row["id"] != lost.consent:
            await bench.ledger.do(c.MoveConsent(address.shard, row["id"], ConsentState.ACTIVE, HOLDER))
    assert await deny(bench, address) is Reason.CONSENT_SUSPENDED
    representative = c.Actor(c.REPRESENTATIVE, "eidas2", "someone")
    with pytest.raises(AccordError):
        await bench.ledger.do(c.MoveConsent(address.shard, lost.consent, ConsentState.ACTIVE, representative))
    await bench.ledger.do(c.MoveConsent(address.shard, lost.consent, ConsentState.ACTIVE, HOLDER))
    assert await deny(bench, address) is None
    await bench.ledger.do(revoking(address.shard, lost.consent))
    assert (await bench.authorize(query(address))).permit is None
    await bench.close()
    assert loss.check(1, 2).found == 0


async def test_who_was_erased_in_the_lost_range_is_erased_again(loss: Loss) -> None:
    done = loss.recover()
    assert (done.erased, done.dropped_years, done.unresolved) == (1, SHARDS, ())
    rows = copy_of(database := Database(loss.url))
    database.close()
    mine = {"patient": loss.erased.patient, "shard": loss.erased.shard}
    for name in ("data_key", "consent", "pairing", "identity", "grant_request"):
        assert [row for row in rows[name] if mine.items() <= row.items()] == []
    assert [row for row in rows["alias"] if row["to_patient"] == loss.erased.patient] == []
    assert [row["status"] for row in rows["patient"] if row["id"] == loss.erased.patient] == ["ERASED"]
    assert [row for row in rows["data_key"] if (row["year"], row["use"]) == (2026, 1)] == []
    bench = loss.build(2)
    tombstone = next(item for item in bench.entries(loss.erased.shard) if item.type is EntryType.PATIENT_ERASED)
    assert (tombstone.basis, tombstone.covers > 0) == ("art17", True)
    assert await deny(bench, loss.erased) is Reason.NOT_PERMITTED
    await bench.close()


async def test_an_export_of_tiles_serves_as_well(database_url: str, tmp_path: Path) -> None:
    loss = await lose(database_url, tmp_path / "export", tiles=True)
    done = loss.recover()
    assert (done.erased, done.dropped_years, done.unresolved) == (1, SHARDS, ())


async def test_what_an_export_without_openings_cannot_tell_is_left_to_somebody_and_said(loss: Loss) -> None:
    for path in loss.folder.glob("*/openings.ndjson"):
        path.unlink()
    done = loss.recover()
    assert (done.erased, done.dropped_years) == (1, 0)
    assert len(done.unresolved) == 1 + SHARDS
    assert loss.check(1, 2).found == 0


async def test_without_an_export_nothing_is_erased_again_and_all_else_is_done(loss: Loss) -> None:
    done = loss.recover(exported=False)
    assert (done.erased, done.suspended, [lost.seen for lost in done.lost]) == (0, 2 * PATIENTS, loss.seen)
    assert loss.check(1, 2).found == 0


async def test_a_request_that_waited_has_expired_and_the_service_asks_again(loss: Loss) -> None:
    assert loss.recover().expired_requests == 1
    bench = loss.build(2)
    (row,) = copy_of(bench.database)["consent_request"]
    with pytest.raises(AccordError) as caught:
        await bench.ledger.do(c.DecideRequest(row["shard"], row["id"], loss.patients[0], True, HOLDER))
    assert caught.value.reason is Reason.REQUEST_EXPIRED
    await bench.close()


async def test_only_the_new_epoch_starts_and_only_after_the_recovery(loss: Loss) -> None:
    with pytest.raises(ConfigError, match="only a recovery begins another"):
        loss.build(2)
    crashing = Crashing(loss.url, 3, after=True)  # both logs have begun
    with pytest.raises(CrashError):
        loss.recover(crashing)
    with pytest.raises(ConfigError, match="has not ended"):
        loss.build(2)
    with pytest.raises(ConfigError, match="holds epoch 2"):
        loss.build(1)
    loss.recover()
    with pytest.raises(ConfigError, match="holds epoch 2"):
        loss.build(1)
    await loss.build(2).close()


async def test_the_old_epoch_s_proofs_and_checkpoints_stay_readable(loss: Loss) -> None:
    loss.recover()
    bench = loss.build(2)
    origin, size = f"{DOMAIN}/ledger/1/0", loss.sizes[0]
    entries = bench.ledger.proofs.entries(origin, 0, size + 9)
    (item,) = bench.ledger.proofs.prove(origin, [size - 1], openings=True)
    checkpoint = open_checkpoint(item.proof.split("\n\n", 1)[1], Verifier(origin, PUBLIC_KEY))
    assert (checkpoint.size, checkpoint.root) == (size, merkle_root([leaf_hash(data) for data in entries]))
    assert parse_entry(item.entry).shard == 0
    await bench.close()


async def test_the_new_logs_grow_under_the_eyes_of_a_witness_that_follows_them(loss: Loss) -> None:
    loss.recover()
    bench = loss.build(2)
    witness = Witness(Shown(bench.ledger.proofs), Memory(), trust_of(2))
    await witness.look()
    for address in loss.patients:
        await bench.authorize(query(address))
    await witness.look()
    witness.require()
    assert list(witness.sizes().values()) == bench.ledger.proofs.sizes()
    await bench.close()


async def test_life_goes_on_in_the_new_epoch(loss: Loss) -> None:
    """Grants, decisions and outcomes, a late outcome of the old epoch apart: that authorisation is of another log."""
    loss.recover()
    bench = loss.build(2)
    address = await bench.patient(700)
    for service in (SENDER, RECIPIENT):
        await bench.grant(address, service)
    exchange = bench.exchange()
    decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (ins(700),), "t" * 43))
    await bench.ledger.do(outcome(decision, exchange))
    with pytest.raises(AccordError) as caught:
        await bench.ledger.do(outcome(decision, "f" * 64))
    assert caught.value.reason is Reason.RESOURCE_NOT_FOUND
    await bench.close()
    assert loss.check(1, 2).found == 0


async def test_a_crash_at_any_commit_is_continued_by_the_same_call(loss: Loss, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEP", 3)
    counting = Crashing(loss.url, 0, after=False)
    loss.recover(counting)
    end, commits = end_of(loss), counting.commits
    assert commits > 12
    every = 1 if loss.url.startswith("sqlite") else 5
    for at in range(1, commits + 1, every):
        loss.restore()
        with pytest.raises(CrashError):
            loss.recover(Crashing(loss.url, at, after=False))
        loss.recover()
        assert (at, end_of(loss)) == (at, end)
    loss.restore()
    with pytest.raises(CrashError):
        loss.recover(Crashing(loss.url, commits, after=True))  # it had ended, and nobody heard of it
    assert end_of(loss) == end
    with pytest.raises(recovery.RecoveryError, match="recovered already"):
        loss.recover()
    assert loss.check(1, 2).found == 0


async def test_a_log_that_lost_nothing_declares_nothing_lost(loss: Loss) -> None:
    bench = loss.build(1)
    notes = bench.ledger.proofs.checkpoints()
    await bench.close()
    loss.witness.notes = dict(zip(loss.witness.notes, notes, strict=True))
    done = loss.recover(exported=False)
    assert [(lost.size, lost.seen) for lost in done.lost] == [(size, size) for size in loss.sizes]


async def test_an_export_that_went_farther_than_any_witness_counts_as_one(loss: Loss) -> None:
    bench = loss.build(1)
    loss.witness.notes = {note.split("\n")[0]: note for note in bench.ledger.proofs.checkpoints()}
    await bench.close()
    assert [lost.seen for lost in loss.recover().lost] == loss.seen

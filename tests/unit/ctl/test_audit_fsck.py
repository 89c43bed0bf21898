"""`fsck` and `no-forward-after-revoke`: a whole export passes, and every way to doctor one is named."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.formats.canonical import dumps
from services.formats.entry import Entry, EntryType, Outcome, OutcomeResult
from services.tlog.note import Verifier
from tests.support.exports import OTHER_KEY, audit, entries, export, lived, offline, rewrite
from tests.support.ledgers import DAY_MS, PUBLIC_KEY, Bench, build

Doctor = Callable[[list[Entry]], list[Entry]]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def folder(bench: Bench, tmp_path: Path) -> Path:
    """An opened export of a log in which much has happened."""
    await lived(bench)
    await export(bench, tmp_path / "export", opened=True)
    return tmp_path / "export"


def broken(folder: Path) -> list[str]:
    return [found["kind"] for found in offline("fsck", folder, code=1)["broken"]]


def doctor(folder: Path, change: Doctor) -> None:
    """Another history, signed by the log's own key: nothing but the rules finds it."""
    rewrite(folder, [entry.to_bytes() for entry in change(entries(folder))])
    (folder / "0" / "openings.ndjson").unlink()


def first(items: list[Entry], type_: EntryType) -> int:
    return next(index for index, entry in enumerate(items) if entry.type is type_)


async def test_a_whole_export_holds_and_says_what_was_looked_at(folder: Path) -> None:
    size = len(entries(folder))
    log = {"origin": "accord.example/ledger/1/0", "entries": size, "openings": size}
    assert offline("fsck", folder) == {"holds": True, "logs": [log], "broken": []}
    shown = audit("fsck", folder, "--trust", folder.with_name("trust.json")).text
    assert "✗" not in shown
    assert "no authorisation rests on a consent that had changed or ended" in shown
    proven = offline("no-forward-after-revoke", folder)
    (result,) = proven["logs"]
    kinds = [entry.type for entry in entries(folder)]
    assert proven["holds"]
    assert result["authorizations"] == kinds.count(EntryType.EXCHANGE_AUTHORIZED) > 3
    assert result["consents"] == kinds.count(EntryType.CONSENT_GRANTED)
    assert result["violations"] == []


@pytest.mark.parametrize(
    "name", ["checkpoint", "entries.ndjson", "records.ndjson", "tile/entries/000.p/{}", "tile/0/000.p/{}"]
)
async def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / "0" / name.format(len(entries(folder)))).unlink()
    found = offline("fsck", folder, code=1)["broken"]
    assert "files" in [item["kind"] for item in found] or name == "checkpoint"
    assert "missing" in str(found)


FILES: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("checkpoint", lambda data: data.replace(b"/1/0", b"/1/1", 1), "checkpoint"),
    ("checkpoint", lambda data: data[:-10] + b"AAAAAAA==\n", "checkpoint"),
    ("tile/entries/000.p/{}", lambda data: data[:-1] + b"x", "tiles"),
    ("tile/0/000.p/{}", lambda data: b"\0" + data[1:], "tiles"),
    ("tile/0/000.p/{}", lambda data: data[:-32], "tiles"),
    ("entries.ndjson", lambda data: data[:-1], "files"),
    ("entries.ndjson", lambda data: data.partition(b"\n")[2], "root"),
    ("entries.ndjson", lambda data: data + data.splitlines(True)[-1], "root"),
    ("entries.ndjson", lambda data: data.replace(b'"v":1', b'"v": 1', 1), "entries"),
    ("entries.ndjson", lambda data: data.replace(b'"shard":0', b'"shard":1', 1), "entries"),
    ("openings.ndjson", lambda data: data.replace(b'"salt":"', b'"salt":"0', 1), "openings"),
    ("openings.ndjson", lambda data: data.replace(b"eidas2", b"eidas1", 1), "openings"),
    ("openings.ndjson", lambda data: data.replace(b'"paired":true', b'"paired":false', 1), "openings"),
    ("openings.ndjson", lambda data: b"".join(data.splitlines(True)[::-1]), "openings"),
    ("openings.ndjson", lambda data: data + data.splitlines(True)[-1].replace(b'"index":', b'"index":9'), "openings"),
    ("records.ndjson", lambda data: data.replace(b"READ", b"REED", 1), "records"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "kind"), FILES)
async def test_a_changed_file_is_named(folder: Path, name: str, change: Any, kind: str) -> None:
    path = folder / "0" / name.format(len(entries(folder)))
    path.write_bytes(change(path.read_bytes()))
    assert kind in broken(folder)


async def test_every_flipped_bit_of_an_entry_is_found(folder: Path) -> None:
    path = folder / "0" / "entries.ndjson"
    data = path.read_bytes()
    for at in range(5, len(data), len(data) // 40):
        flipped = bytearray(data)
        flipped[at] ^= 1
        path.write_bytes(flipped)
        assert offline("fsck", folder, code=1)["broken"]
    path.write_bytes(data)
    assert offline("fsck", folder)["holds"]


async def test_another_history_under_another_key_is_no_log_of_trust(folder: Path) -> None:
    """A withdrawal taken out, and everything computed again: the rules hold, the signature does not."""
    kept = entries(folder)
    revoked = first(kept, EntryType.CONSENT_REVOKED)
    rewrite(folder, [entry.to_bytes() for entry in (*kept[:revoked], *kept[revoked + 1 :])], OTHER_KEY)
    (folder / "0" / "openings.ndjson").unlink()
    assert "checkpoint" in broken(folder)
    found = offline("no-forward-after-revoke", folder, code=1)["broken"]
    assert [item["kind"] for item in found] == ["checkpoint"]


async def test_an_authorisation_put_after_a_withdrawal_is_caught_though_all_is_signed(folder: Path) -> None:
    def change(items: list[Entry]) -> list[Entry]:
        authorized, revoked = first(items, EntryType.EXCHANGE_AUTHORIZED), first(items, EntryType.CONSENT_REVOKED)
        return [
            *items[: revoked + 1],
            replace(items[authorized], time_ms=items[revoked].time_ms),
            *items[revoked + 1 :],
        ]

    doctor(folder, change)
    revoked = first(entries(folder), EntryType.CONSENT_REVOKED)
    (result,) = offline("no-forward-after-revoke", folder, code=1)["logs"]
    (violation,) = result["violations"]
    assert violation["index"] == revoked + 1
    assert "consent.revoked" in violation["why"]
    assert "promise" in broken(folder)


def change_at(type_: EntryType, **changes: Any) -> Doctor:
    def change(items: list[Entry]) -> list[Entry]:
        at = first(items, type_)
        return [*items[:at], replace(items[at], **changes), *items[at + 1 :]]

    return change


def repeat(type_: EntryType) -> Doctor:
    def change(items: list[Entry]) -> list[Entry]:
        at = first(items, type_)
        return [*items[: at + 1], *items[at:]]

    return change


def drop(type_: EntryType) -> Doctor:
    def change(items: list[Entry]) -> list[Entry]:
        at = first(items, type_)
        return [*items[:at], *items[at + 1 :]]

    return change


def revive(items: list[Entry]) -> list[Entry]:
    revoked = items[first(items, EntryType.CONSENT_REVOKED)]
    (resource,) = revoked.resources
    following = resource.replace("/revisions/2", "/revisions/3")
    alive = replace(revoked, type=EntryType.CONSENT_RESUMED, resources=(following,), until_ms=revoked.time_ms + DAY_MS)
    return [*items, replace(alive, time_ms=items[-1].time_ms)]


T = EntryType
HISTORIES: list[tuple[str, Doctor]] = [
    ("times", lambda items: [*items[:3], items[-1], *items[3:]]),
    ("registry", drop(T.REGISTRY_OBSERVED)),
    ("consents", drop(T.CONSENT_GRANTED)),
    ("consents", repeat(T.CONSENT_GRANTED)),
    ("consents", repeat(T.CONSENT_REVOKED)),
    ("consents", revive),
    ("consents", change_at(T.CONSENT_REVOKED, subject="0" * 64)),
    ("consents", change_at(T.CONSENT_REVOKED, type=T.CONSENT_GRANTED, until_ms=2**42)),
    ("outcomes", repeat(T.EXCHANGE_OUTCOME)),
    ("outcomes", drop(T.EXCHANGE_AUTHORIZED)),
    ("outcomes", change_at(T.EXCHANGE_OUTCOME, outcome=Outcome(0, OutcomeResult.FAILED, 0))),
    ("outcomes", change_at(T.EXCHANGE_OUTCOME, exchange="0" * 64)),
    ("promise", drop(T.CONSENT_GRANTED)),
    ("promise", change_at(T.EXCHANGE_AUTHORIZED, until_ms=2**42)),
    ("promise", change_at(T.EXCHANGE_AUTHORIZED, resources=())),
    ("promise", change_at(T.CONSENT_GRANTED, until_ms=1)),
    ("promise", change_at(T.EXCHANGE_DENIED, type=T.EXCHANGE_AUTHORIZED)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "change"), HISTORIES)
async def test_a_history_that_breaks_a_rule_is_caught_though_all_is_signed(
    folder: Path, kind: str, change: Doctor
) -> None:
    doctor(folder, change)
    found = offline("fsck", folder, code=1)["broken"]
    assert kind in [item["kind"] for item in found]
    assert not {"checkpoint", "root", "tiles", "entries"} & {item["kind"] for item in found}
    proven = offline("no-forward-after-revoke", folder, code=int(any(item["kind"] == "promise" for item in found)))
    assert proven["holds"] is all(item["kind"] != "promise" for item in found)


async def test_a_consent_of_an_earlier_epoch_begins_with_what_it_became(folder: Path) -> None:
    """A log of a later epoch holds no grant of it."""
    items = entries(folder)
    path = folder / "0"
    later = "accord.example/ledger/2/0"
    (path / "checkpoint").write_text((path / "checkpoint").read_text().replace("ledger/1/0", "ledger/2/0"))
    (folder / "export.json").write_bytes(dumps({"format": "accord-export/v1", "logs": [later]}))
    (granted,) = {item.resources[0] for item in items[: first(items, T.CONSENT_GRANTED) + 1] if item.resources}
    renamed = replace(
        items[first(items, T.CONSENT_GRANTED)],
        type=T.CONSENT_SUSPENDED,
        cause="recovery",
        until_ms=None,
        resources=(granted.replace("/revisions/1", "/revisions/4"),),
    )
    rewrite(folder, [replace(renamed, time_ms=items[0].time_ms).to_bytes()])
    trust = json.loads(folder.with_name("trust.json").read_text())
    trust["logs"] = [Verifier(later, PUBLIC_KEY).vkey]
    folder.with_name("trust.json").write_bytes(dumps(trust))
    for name in ("openings.ndjson", "records.ndjson"):
        (path / name).unlink()
    assert offline("fsck", folder)["holds"]


@pytest.mark.parametrize("command", ["fsck", "no-forward-after-revoke", "replay"])
async def test_what_is_no_export_cannot_be_judged(tmp_path: Path, folder: Path, command: str) -> None:
    trust = folder.with_name("trust.json")
    audit(command, tmp_path / "nowhere", "--trust", trust, code=2)
    audit(command, folder, "--trust", tmp_path / "nowhere", code=2)
    (folder / "export.json").write_text("{}")
    audit(command, folder, "--trust", trust, code=2)

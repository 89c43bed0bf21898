"""`replay`: every decision of an export is the one that its facts give, and every opening that is gone was erased."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.consent.domain import commands as c
from services.consent.domain.terms import Limits, Quota
from services.formats.canonical import dumps, loads_canonical
from services.formats.entry import EntryType, commitment, parse_entry
from tests.support.exports import audit, entries, erase, export, lived, offline, rewrite
from tests.support.ledgers import RECIPIENT, SENDER, Bench, build, ins, query, record

Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path)
    yield made
    await made.close()


def doctor(folder: Path, type_: EntryType, change: Change, **clear: Any) -> int:
    """Another body and other facts for the first entry of a type, everything computed and signed again; its index."""
    path = folder / "0"
    lines = (path / "entries.ndjson").read_bytes().splitlines()
    openings = [loads_canonical(line, 1 << 22) for line in (path / "openings.ndjson").read_bytes().splitlines()]
    at = next(index for index, line in enumerate(lines) if parse_entry(line).type is type_)
    opening = next(item for item in openings if item["index"] == at)
    change(opening["body"], opening["facts"])
    opening["body"]["facts"] = commitment(bytes.fromhex(opening["facts_salt"]), dumps(opening["facts"]))
    commit = commitment(bytes.fromhex(opening["salt"]), dumps(opening["body"]))
    lines[at] = replace(parse_entry(lines[at]), commit=commit, **clear).to_bytes()
    (path / "openings.ndjson").write_bytes(b"".join(dumps(item) + b"\n" for item in openings))
    rewrite(folder, lines)
    return at


def differences(folder: Path) -> list[dict[str, Any]]:
    (result,) = offline("replay", folder, code=1)["logs"]
    found: list[dict[str, Any]] = result["differences"]
    return found


async def test_every_decision_is_decided_again_with_the_same_result(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    address = await bench.patient(9)
    await bench.authorize(query(address))
    await bench.grant(address, SENDER, limits=Limits(quota=Quota(1, 60), exceptions=frozenset({"label:V"})))
    await bench.grant(address, RECIPIENT)
    labelled = query(address, labels=frozenset({"N"}), data_from_ms=1, data_until_ms=2)
    assert (await bench.authorize(labelled, ins(9))).permit is not None
    assert (await bench.authorize(labelled, ins(9))).permit is None
    assert (await bench.authorize(query(address), ins(8))).permit is None
    bench.view.set([record(SENDER)])
    await bench.authorize(query(address))
    await export(bench, folder, opened=True)
    result = offline("replay", folder)
    kinds = [entry.type for entry in entries(folder)]
    (log,) = result["logs"]
    assert result["holds"]
    assert log["authorized"] == kinds.count(EntryType.EXCHANGE_AUTHORIZED) > 5
    assert log["denied"] == kinds.count(EntryType.EXCHANGE_DENIED) > 5
    assert (log["gone"], log["covered"], log["differences"]) == (0, 0, [])
    assert "decided again" in audit("replay", folder, "--trust", tmp_path / "trust.json").text


def set_profile(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["profile"] = "CLOSED"


def other_consent(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"][0]["consents"][0]["end"] = "2099-01-01T00:00:00.000Z"


def no_consents(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"][0]["consents"] = []


def other_record(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"][0]["record"] = facts["parties"][1]["record"]


def no_record(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"][0]["record"] = "0" * 64


def other_service(body: dict[str, Any], _: dict[str, Any]) -> None:
    body["query"]["service"] = "services/autre"


def other_direction(body: dict[str, Any], _: dict[str, Any]) -> None:
    body["query"]["direction"] = "READ"


def other_category(body: dict[str, Any], _: dict[str, Any]) -> None:
    body["query"]["categories"] = ["class:44"]


def other_state(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"][1]["consents"][0]["state"] = "SUSPENDED"


def nonsense(_: dict[str, Any], facts: dict[str, Any]) -> None:
    facts["parties"] = {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (set_profile, "its facts give exchange.denied PROFILE_NOT_OPEN"),
        (other_consent, "another end of"),
        (no_consents, "decided without"),
        (other_record, "another service's registry record"),
        (no_record, "not in the export"),
        (other_service, "other services"),
        (other_direction, "another direction"),
        (other_category, "CONVENTION_EXCEEDED"),
        (other_state, "SUSPENDED, when"),
        (nonsense, "cannot be read"),
    ],
)
async def test_an_authorisation_on_other_facts_is_named(bench: Bench, tmp_path: Path, change: Change, why: str) -> None:
    """Though its commitment, the tree and the signature are all in order."""
    folder = tmp_path / "export"
    await lived(bench)
    await export(bench, folder, opened=True)
    at = doctor(folder, EntryType.EXCHANGE_AUTHORIZED, change)
    (found,) = differences(folder)
    assert found["index"] == at
    assert why in found["why"]


async def test_a_denial_that_should_have_been_an_authorisation_is_named(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    await export(bench, folder, opened=True)

    def allow(body: dict[str, Any], _: dict[str, Any]) -> None:
        body["query"]["categories"] = ["class:10"]

    at = doctor(folder, EntryType.EXCHANGE_DENIED, allow)
    (found,) = differences(folder)
    assert (found["index"], "its facts give exchange.authorized" in found["why"]) == (at, True)


async def test_a_permit_that_ends_later_than_its_facts_allow_is_named(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    await export(bench, folder, opened=True)
    until = next(item.until_ms for item in entries(folder) if item.type is EntryType.EXCHANGE_AUTHORIZED) or 0
    at = doctor(folder, EntryType.EXCHANGE_AUTHORIZED, lambda *_: None, until_ms=until - 1000)
    (found,) = differences(folder)
    assert found["index"] == at


async def test_as_many_openings_are_gone_as_were_erased_and_not_one_more(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    erased = await bench.consenting(5)
    await bench.authorize(query(erased))
    await erase(bench, erased)
    await export(bench, folder, opened=True)
    (log,) = offline("replay", folder)["logs"]
    assert log["gone"] == log["covered"] > 5
    path = folder / "0" / "openings.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    granted = next(n for n, line in enumerate(lines) if b"notice_sha256" in line)
    path.write_bytes(b"".join(lines[:granted] + lines[granted + 1 :]))
    (found,) = differences(folder)
    assert "openings are gone, and erasures account for" in found["why"]


async def test_an_opening_of_no_patient_is_never_gone(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    await export(bench, folder, opened=True)
    observed = next(n for n, item in enumerate(entries(folder)) if item.type is EntryType.REGISTRY_OBSERVED)
    path = folder / "0" / "openings.ndjson"
    path.write_bytes(
        b"".join(line for n, line in enumerate(path.read_bytes().splitlines(keepends=True)) if n != observed)
    )
    assert [item["index"] for item in differences(folder)] == [observed, None]


async def test_an_export_without_openings_cannot_be_replayed(bench: Bench, tmp_path: Path) -> None:
    await lived(bench)
    await export(bench, tmp_path / "export")
    audit("replay", tmp_path / "export", "--trust", tmp_path / "trust.json", code=2)


async def test_an_opening_that_is_not_its_entry_s_ends_the_replay(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    await lived(bench)
    await export(bench, folder, opened=True)
    path = folder / "0" / "openings.ndjson"
    path.write_bytes(path.read_bytes().replace(b'"CARE"', b'"DIAGNOSIS"', 1))
    assert [item["kind"] for item in offline("replay", folder, code=1)["broken"]] == ["openings"]


async def test_quotas_are_replayed_as_they_were_counted(bench: Bench, tmp_path: Path) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER, limits=Limits(quota=Quota(2)))
    await bench.grant(address, RECIPIENT)
    items = [c.Authorize(query(address), bench.exchange(), (), "t" * 43) for _ in range(4)]
    decisions = [await bench.ledger.authorize(item) for item in (*items, items[0])]
    assert [decision.permit is not None for decision in decisions] == [True, True, False, False, True]
    await export(bench, tmp_path / "export", opened=True)
    assert offline("replay", tmp_path / "export")["holds"]

"""`reconcile`: acknowledgements against deliveries, both ways."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.formats.acknowledgement import Acknowledgement
from services.formats.entry import OutcomeResult, sha256_hex
from services.formats.jwk import LocalSigner
from tests.support.exports import acknowledgement, audit, delivered, entries, erase, export, lived, offline
from tests.support.ledgers import SENDER, Bench, build


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = build(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def receipts(bench: Bench, tmp_path: Path) -> Path:
    """An export beside the acknowledgements of all it says was delivered."""
    folder = tmp_path / "receipts"
    folder.mkdir()
    for name, token in (await lived(bench)).items():
        (folder / f"{name}.jws").write_text(token + "\n")
    last, token = await delivered(bench, await bench.consenting(7))
    (folder / f"{last}.jws").write_text(token)
    return folder


async def reconciled(bench: Bench, receipts: Path, *more: str, code: int = 0) -> Any:
    folder = receipts.with_name("export")
    await export(bench, folder, opened=True)
    return offline("reconcile", folder, "--receipts", receipts, *more, code=code)


async def test_every_delivery_has_its_acknowledgement_and_the_other_way_round(bench: Bench, receipts: Path) -> None:
    """But that one delivery of the story whose acknowledgement nobody kept."""
    result = await reconciled(bench, receipts, code=1)
    items = entries(receipts.with_name("export"))
    ended = [item.outcome.result for item in items if item.outcome]
    assert result["delivered"] == ended.count(OutcomeResult.DELIVERED) == result["reconciled"] + 1
    (missing,) = result["without_receipt"]
    assert items[missing["index"]].exchange == missing["exchange"]
    assert (result["not_in_log"], result["unusable"], result["erased"]) == ([], [], 0)
    shown = audit("reconcile", receipts.with_name("export"), "--receipts", receipts, "--trust",
                  receipts.with_name("trust.json"), code=1).text  # fmt: skip
    assert missing["exchange"] in shown


async def test_an_acknowledgement_that_the_log_does_not_know_is_named(bench: Bench, receipts: Path) -> None:
    (receipts / "more.jws").write_text(acknowledgement("f" * 64))
    result = await reconciled(bench, receipts, code=1)
    assert [item["exchange"] for item in result["not_in_log"]] == ["f" * 64]


async def test_an_acknowledgement_counts_only_if_its_service_signed_it(bench: Bench, receipts: Path) -> None:
    exchange, stranger = "f" * 64, LocalSigner(Ed25519PrivateKey.generate())
    said = Acknowledgement("services/carnet", "accord.example", 1, exchange, "b" * 64, ())
    (receipts / "forged.jws").write_text(said.sign(stranger))
    (receipts / "unknown.jws").write_text(acknowledgement(exchange, "services/nobody"))
    (receipts / "noise.json").write_text("{}")
    result = await reconciled(bench, receipts, code=1)
    assert sorted(Path(item["file"]).name for item in result["unusable"]) == ["forged.jws", "noise.json", "unknown.jws"]
    assert result["not_in_log"] == []


async def test_only_one_recipient_s_deliveries_are_compared_where_one_is_named(bench: Bench, receipts: Path) -> None:
    result = await reconciled(bench, receipts, "--recipient", SENDER)
    assert (result["holds"], result["delivered"]) == (True, 0)


async def test_an_erased_delivery_is_counted_and_not_called_missing(bench: Bench, tmp_path: Path) -> None:
    receipts = tmp_path / "receipts"
    receipts.mkdir()
    address = await bench.consenting(7)
    _, token = await delivered(bench, address)
    (receipts / "one.jws").write_text(token)
    await erase(bench, address)
    result = await reconciled(bench, receipts)
    assert (result["delivered"], result["reconciled"], result["erased"]) == (1, 0, 1)
    assert sha256_hex(token) not in (tmp_path / "export" / "0" / "openings.ndjson").read_text()


async def test_a_folder_that_is_none_cannot_be_compared(bench: Bench, receipts: Path) -> None:
    folder = receipts.with_name("export")
    await export(bench, folder, opened=True)
    audit("reconcile", folder, "--receipts", receipts / "none", "--trust", receipts.with_name("trust.json"), code=2)

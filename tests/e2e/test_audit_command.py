"""`accord audit` as an auditor types it, on the real services: ask, export, and prove from the export alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from services.ctl.stack import ROOT, environment
from services.errors import Reason
from services.formats.entry import EntryType, parse_entry
from services.tlog.checkpoint import open_checkpoint
from services.tlog.proof import verify_inclusion
from services.tlog.tlog_proof import parse_proof
from services.tlog.tree import leaf_hash
from tests.support.world import RECIPIENT, SENDER, Visit, World

ACCORD = (sys.executable, "-m", "services.ctl", "audit")


def audit(world: World, *arguments: str | Path, live: bool = True, code: int = 0) -> str:
    """Standard output of `accord audit`, which must end with this code."""
    flags = ["--folder", world.stack.folder, "--target", world.stack.target("consent")] if live else []
    trust = ["--trust", world.stack.folder / "trust.json"]
    quiet = environment() | {"COLUMNS": "240", "NO_COLOR": "1"}
    command = [*ACCORD, *map(str, [*arguments, *flags, *trust])]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, cwd=ROOT, timeout=150)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stdout + done.stderr


def said(world: World, *arguments: str | Path, **how: Any) -> Any:
    """The same, as JSON."""
    return json.loads(audit(world, *arguments, "--json", **how))


def found(world: World, *arguments: str) -> list[dict[str, Any]]:
    """What a search finds."""
    return [json.loads(line) for line in audit(world, "search", *arguments, "--json").splitlines()]


async def story(visit: Visit, folder: Path) -> tuple[str, str]:
    """A delivery, whose evidence is kept in the folder, a withdrawal, and a refusal; pseudonym and profile."""
    person = await visit.patient()
    keep(folder, await visit.send(visit.bundle(person)))
    await visit.people.revoke(person.consents[SENDER])
    assert (await visit.refused(visit.bundle(person))).reason is Reason.CONSENT_REVOKED
    return person.pseudonyms[SENDER], person.profile


async def test_an_auditor_finds_a_patient_s_entries_and_each_question_is_on_the_record(
    visit: Visit, tmp_path: Path
) -> None:
    pseudonym, profile = await story(visit, tmp_path / "receipts")
    world, service = visit.world, f"services/{SENDER}"
    entries = found(world, "--patient", pseudonym, "--service", service)
    kinds = [item["entry"]["type"] for item in entries]
    assert kinds[-4:] == ["exchange.authorized", "exchange.outcome", "consent.revoked", "exchange.denied"]
    denied = found(world, "--profile", profile, "--reason", "CONSENT_REVOKED")
    assert [item["index"] for item in denied] == [entries[-1]["index"]]
    exchange = entries[-4]["entry"]["exchange"]
    assert [item["entry"]["type"] for item in found(world, "--exchange", exchange)] == kinds[-4:-2]
    reads = found(world, "--type", "audit.read", "--actor", "auditor")
    shown = said(world, "show", reads[-2]["origin"], str(reads[-2]["index"]), "--open")
    assert shown["body"] == {"asked": {"exchange": exchange}, "method": "SearchEntries"}
    table = audit(world, "search", "--service", service, "--limit", "3")
    assert "3 found" in table
    counts = said(world, "stats", "--by", "type", "--exchange", exchange)
    assert counts == {"counts": [{"type": kind, "count": 1} for kind in sorted(kinds[-4:-2])], "total": 2}
    assert "exchange.authorized" in audit(world, "stats", "--by", "month", "--by", "type")


async def test_a_proof_is_verified_before_it_is_written(visit: Visit, tmp_path: Path) -> None:
    await story(visit, tmp_path / "receipts")
    world, origin = visit.world, "mes.example/ledger/1/0"
    audit(world, "prove", origin, "2", "-o", tmp_path / "proof")
    proof = parse_proof((tmp_path / "proof").read_text())
    verifier = world.stack.trust.log(origin)
    assert verifier is not None
    checkpoint = open_checkpoint(proof.checkpoint_note, verifier)
    shown = said(world, "show", origin, "2")
    entry = json.dumps(shown["entry"], sort_keys=True, separators=(",", ":")).encode()
    verify_inclusion(leaf_hash(entry), 2, checkpoint.size, proof.hashes, checkpoint.root)
    assert parse_entry(entry).type in EntryType
    assert "RESOURCE_NOT_FOUND" in audit(world, "show", origin, "99999999", code=2)
    assert not audit(world, "prove", "mes.example/ledger/9/0", "0", "-o", tmp_path / "none", code=2).endswith(
        "verified\n"
    )
    assert not (tmp_path / "none").exists()


async def test_an_export_proves_everything_without_the_ledger(visit: Visit, tmp_path: Path) -> None:
    """And the verifier that was written by the documentation alone agrees."""
    world, folder, receipts = visit.world, tmp_path / "export", tmp_path / "receipts"
    await story(visit, receipts)
    assert said(world, "export", folder, "--open")["holds"]
    assert said(world, "fsck", folder, live=False)["holds"]
    assert said(world, "no-forward-after-revoke", folder, live=False)["holds"]
    replayed = said(world, "replay", folder, live=False)
    assert replayed["holds"]
    assert replayed["logs"][0]["authorized"] > 0
    reconciled = said(world, "reconcile", folder, "--receipts", receipts, "--recipient", f"services/{RECIPIENT}",
                      live=False, code=0 if only_story(folder) else 1)  # fmt: skip
    assert reconciled["reconciled"] == 1
    assert (reconciled["not_in_log"], reconciled["unusable"]) == ([], [])
    assert independently(world, folder)
    await story(visit, tmp_path / "more")
    again = said(world, "export", folder, "--open")
    assert 0 < again["logs"][0]["new"] < again["logs"][0]["size"]
    assert "✗" not in audit(world, "fsck", folder, live=False)


def keep(folder: Path, evidence: bytes) -> None:
    """A recipient's folder of one evidence file."""
    folder.mkdir()
    (folder / "evidence.json").write_bytes(evidence)


def independently(world: World, folder: Path) -> bool:
    """Whether the verifier that imports nothing of Accord takes an export for what it says it is."""
    verify = [sys.executable, str(ROOT / "examples" / "verifier" / "verify.py"), "export", str(folder)]
    trust = ["--trust", str(world.stack.folder / "trust.json")]
    return subprocess.run([*verify, *trust], capture_output=True, timeout=100).returncode == 0


def only_story(folder: Path) -> bool:
    """Whether nothing else was ever delivered in this shared world."""
    lines = (folder / "0" / "entries.ndjson").read_text().splitlines()
    return sum('"result":"DELIVERED"' in line for line in lines) == 1


async def test_a_live_ledger_is_checked_whole_and_no_file_stays(visit: Visit, tmp_path: Path) -> None:
    await story(visit, tmp_path / "receipts")
    assert said(visit.world, "fsck", "live", "--open")["holds"]


@pytest.mark.parametrize("command", [["search"], ["stats"], ["export", "nowhere"], ["fsck", "live"]])
async def test_nobody_but_an_auditor_is_answered(visit: Visit, tmp_path: Path, command: list[str]) -> None:
    words = [str(tmp_path / word) if word == "nowhere" else word for word in command]
    assert "RPC_NOT_ALLOWED" in audit(visit.world, *words, "--as", SENDER, code=2)
    assert not (tmp_path / "nowhere").exists()


def test_each_command_shows_an_example() -> None:
    names = ["search", "show", "prove", "stats", "export", "fsck", "no-forward-after-revoke", "replay", "reconcile"]
    for name in names:
        done = subprocess.run([*ACCORD, name, "--help"], capture_output=True, text=True, env=environment(), cwd=ROOT)
        assert f"accord audit {name} " in done.stdout, name


def test_a_ledger_that_does_not_answer_is_said_to_be_so(world: World) -> None:
    quiet = environment() | {"NO_COLOR": "1"}
    command = [*ACCORD, "stats", "--folder", str(world.stack.folder), "--target", "127.0.0.1:9"]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, cwd=ROOT, timeout=60)
    assert (done.returncode, "UNAVAILABLE" in done.stderr) == (2, True), done.stderr

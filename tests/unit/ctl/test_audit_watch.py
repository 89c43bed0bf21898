"""`accord audit watch`: what each look says, what it keeps beside, and the status it ends in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from typer.testing import CliRunner

from services.chassis.witness import Witness
from services.ctl.audit_watch import register
from services.ctl.private_files import write_private
from services.ctl.watching import Report, Watch
from services.ctl.witness_file import WitnessFile, held
from services.errors import AccordError, Reason
from services.formats.trust import Trust
from services.tlog.cosignature import Cosigner
from services.tlog.note import Verifier
from services.tlog.proof import consistency_proof
from tests.support.ledger_simulator import Log
from tests.support.ledgers import HeldClock

ORIGIN, OTHER = "mes.example/ledger/1/0", "mes.example/ledger/1/1"
KEY = Ed25519PrivateKey.from_private_bytes(b"w" * 32)
COSIGNER = Cosigner("witness.example/one", KEY.sign, KEY.public_key().public_bytes_raw())


@dataclass
class Ledger:
    """A real log, shown as the test says: `failure` is raised instead."""

    log: Log = field(default_factory=lambda: Log(ORIGIN))
    failure: AccordError | None = None

    def grow(self, count: int) -> None:
        for _ in range(count):
            self.log.append(f"entry {len(self.log.entries)}".encode(), b"", b"")

    async def checkpoints(self) -> list[str]:
        if self.failure is not None:
            raise self.failure
        return [self.log.note()]

    async def consistency(self, origin: str, old: int, new: int) -> list[bytes] | None:
        return consistency_proof(old, new, self.log.read)


@dataclass
class Auditor:
    """A ledger, a file, and watches of the one by the other."""

    ledger: Ledger
    memory: WitnessFile
    out: pytest.CaptureFixture[str]

    def watch(self, *logs: Verifier, cosigner: Cosigner | None = None, as_json: bool = True) -> Watch:
        trust = Trust("mes.example", (self.ledger.log.signer.verifier, *logs), ())
        witness, report = Witness(self.ledger, self.memory, trust), Report("host:1", self.memory, as_json)
        return Watch(witness, trust, self.memory, cosigner, HeldClock(), report)

    async def once(self, *logs: Verifier, cosigner: Cosigner | None = None) -> tuple[int, dict[str, Any]]:
        status = await self.watch(*logs, cosigner=cosigner).follow(0, once=True)
        (line,) = self.out.readouterr().out.splitlines()
        told: dict[str, Any] = json.loads(line)
        assert told["status"] == status
        return status, told


@pytest.fixture
def auditor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Auditor]:
    with held(tmp_path / "witness.json") as memory:
        one = Auditor(Ledger(), memory, capsys)
        one.ledger.grow(3)
        yield one


async def test_a_log_that_continues_is_0_and_tells_its_size(auditor: Auditor) -> None:
    for size in (3, 5):
        status, told = await auditor.once()
        assert (status, told["logs"], told["time"]) == (0, {ORIGIN: size}, "2026-11-23T14:15:28.123Z")
        auditor.ledger.grow(2)


async def test_a_contradiction_is_1_with_both_notes_until_a_person_has_dealt_with_it(auditor: Auditor) -> None:
    await auditor.once()
    kept = auditor.ledger.log.note()
    auditor.ledger.log.truncate(2)
    shown = auditor.ledger.log.note()
    for _ in range(2):
        status, told = await auditor.once()
        assert (status, told["reason"], told["log"]) == (1, "LEDGER_ROLLED_BACK", ORIGIN)
        assert (told["kept"], told["shown"]) == (kept, shown)
        auditor.ledger.grow(1)  # the truth again: what was signed meanwhile is not undone by it
    auditor.memory.contradiction.unlink()
    assert (await auditor.once())[0] == 0


async def test_a_watch_that_goes_on_ends_with_the_first_contradiction(auditor: Auditor) -> None:
    watch = auditor.watch()
    assert await watch.follow(0, once=True) == 0
    auditor.ledger.log.truncate(1)
    assert await watch.follow(0, once=False) == 1


async def test_a_contradiction_that_cannot_be_written_down_is_still_1(auditor: Auditor) -> None:
    await auditor.once()
    auditor.ledger.log.truncate(2)
    auditor.memory.contradiction = auditor.memory.path / "no folder"
    assert await auditor.watch().follow(0, once=True) == 1


async def test_what_cannot_be_said_is_2_and_nothing_is_forgotten(auditor: Auditor) -> None:
    await auditor.once()
    refused = AccordError(Reason.LEDGER_UNAVAILABLE)
    refused.__cause__ = AccordError(Reason.RPC_NOT_ALLOWED)
    for failure, reason, why in (
        (AccordError(Reason.LEDGER_UNAVAILABLE), "LEDGER_UNAVAILABLE", "no answer from host:1"),
        (AccordError(Reason.CLOCK_BEHIND, "by far"), "CLOCK_BEHIND", "by far"),
        (refused, "RPC_NOT_ALLOWED", "This identity may not call this method."),
    ):
        auditor.ledger.failure = failure
        status, told = await auditor.once()
        assert (status, told["reason"], told["why"]) == (2, reason, why)
    auditor.ledger.failure = None
    auditor.ledger.log.truncate(2)
    assert (await auditor.once())[0] == 1


async def test_a_log_that_trust_lists_and_the_ledger_does_not_show_is_2(auditor: Auditor) -> None:
    status, told = await auditor.once(Log(OTHER).signer.verifier)
    assert (status, told["why"]) == (2, f"TRUST lists {OTHER}, which the ledger does not show")


async def test_a_log_that_trust_does_not_list_is_2(auditor: Auditor) -> None:
    auditor.ledger.log, known = Log(OTHER), auditor.ledger.log
    one = auditor.watch()
    trust = Trust("mes.example", (known.signer.verifier,), ())
    one = replace(one, witness=Witness(auditor.ledger, auditor.memory, trust), trust=trust)
    assert await one.follow(0, once=True) == 2


async def test_what_was_kept_is_cosigned_at_each_look_and_nothing_else_ever(auditor: Auditor) -> None:
    await auditor.once(cosigner=COSIGNER)
    (path,) = auditor.memory.cosigned.iterdir()
    kept = (await auditor.memory.checkpoints())[ORIGIN]
    assert path.read_text() == kept + COSIGNER.line(kept, HeldClock().wall_ms() // 1000)
    auditor.ledger.log.truncate(2)
    assert (await auditor.once(cosigner=COSIGNER))[0] == 1
    assert path.read_text().startswith(kept)


async def test_a_person_is_told_in_one_line_a_look(auditor: Auditor) -> None:
    watch = auditor.watch(as_json=False)
    await watch.follow(0, once=True)
    auditor.ledger.failure = AccordError(Reason.LEDGER_UNAVAILABLE)
    await watch.look()
    auditor.ledger.failure = None
    auditor.ledger.grow(2)
    await watch.look()
    auditor.ledger.log.truncate(1)
    await watch.look()
    continued, unknown, grown, contradicted = auditor.out.readouterr().out.splitlines()
    assert continued.endswith("continues: 1 log(s), 3 entries (+3)")
    assert unknown.endswith("LEDGER_UNAVAILABLE: no answer from host:1")
    assert grown.endswith("continues: 1 log(s), 5 entries (+2)")
    assert f"LEDGER_ROLLED_BACK {ORIGIN}: the latest checkpoint is smaller" in contradicted
    assert str(auditor.memory.contradiction) in contradicted


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--trust", "nowhere.json"), "nowhere.json"),
        (("--trust", "witness.key"), "not JSON"),
        (("--cosign-name", "witness.example/one"), "--cosign-key and --cosign-name"),
        (("--cosign-key", "witness.key", "--cosign-name", "a name"), "--cosign-name"),
        (("--cosign-key", "trust.json", "--cosign-name", "name"), "trust.json"),
        (("--state", "/proc/nowhere/witness.json"), "nowhere"),
        (("--state", "trust.json"), "trust.json"),
        (("--every", "0"), "--every"),
    ],
)
def test_misuse_is_2_with_one_explanation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("trust.json").write_bytes(Trust("mes.example", (Log(ORIGIN).signer.verifier,), ()).to_bytes())
    Path("trust.json").chmod(0o600)
    write_private(Path("witness.key"), KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["--folder", ".", "--state", "witness.json", "--once", *arguments])
    assert (done.exit_code, "Traceback" in done.output) == (2, False)
    assert said in done.output

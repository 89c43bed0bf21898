"""A DBA restores the ledger's entries and signed head together: the ledger starts on them, and every witness says no.

Real parts on both sides: the ledger's database and proofs behind a guarded port, and the broker's witness, the registry's
and `accord audit watch`, each with a memory of its own.
"""

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from services.errors import AccordError, Reason
from services.tlog.checkpoint import open_checkpoint
from services.tlog.cosignature import CosignatureVerifier
from services.tlog.note import Verifier
from tests.support.exchanges import until
from tests.support.ledgers import PUBLIC_KEY
from tests.support.witnesses import RegistryWitness, Shown, Witnessed, witnessed


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Witnessed]:
    monkeypatch.setattr("services.chassis.witness.FOLLOW_S", 0.02)
    async with witnessed(tmp_path) as one:
        yield one


async def rolled_back(shown: Shown) -> str:
    await shown.put_back("backup.db")
    return "the latest checkpoint is smaller than one seen before"


async def forked(shown: Shown) -> str:
    await shown.put_back("backup.db")
    await shown.grow(5)
    return "two checkpoints are not of one log"


async def equivocating(shown: Shown) -> str:
    await shown.put_back("backup.db")
    await shown.grow(3)
    return "two checkpoints are not of one log"


async def lease_refused(registry: RegistryWitness) -> Reason | None:
    try:
        await registry.leases.issue(0, 0)
    except AccordError as error:
        return error.reason
    return None


@pytest.mark.parametrize("tamper", [rolled_back, forked, equivocating])
async def test_threat_31_a_ledger_put_back_whole_is_caught_by_broker_registry_and_auditor(
    site: Witnessed, tamper: Callable[[Shown], Awaitable[str]]
) -> None:
    shown = site.shown
    await shown.copy("backup.db")
    await shown.grow(3)
    size = shown.size
    async with site.broker() as broker, site.registry() as registry:
        await broker.look()
        await until(lambda: kept_size(site, registry) == size)
        assert (await site.audited())[0] == 0
        assert (await registry.problems(), await lease_refused(registry)) == ((), None)

        why = await tamper(shown)
        assert (shown.size > size, shown.size == size) == (tamper is forked, tamper is equivocating)

        with pytest.raises(AccordError) as caught:
            await broker.look()
        assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
        await until(registry.problems)
        assert await registry.problems() == ("LEDGER_ROLLED_BACK",)
        assert await lease_refused(registry) is Reason.LEDGER_ROLLED_BACK
        status, (line,), _ = await site.audited()
        assert (status, line["reason"], line["log"], line["why"]) == (1, "LEDGER_ROLLED_BACK", shown.origin, why)
        assert kept_size(site, registry) == broker.sizes()[shown.origin] == size
    await again(site)


async def again(site: Witnessed) -> None:
    """A later life of broker and registry finds the same."""
    async with site.broker() as broker, site.registry() as registry:
        with pytest.raises(AccordError) as caught:
            await broker.look()
        assert caught.value.reason is Reason.LEDGER_ROLLED_BACK
        await until(registry.problems)


def kept_size(site: Witnessed, registry: RegistryWitness) -> int:
    notes = registry.kept
    verifier = Verifier(site.shown.origin, PUBLIC_KEY)
    return open_checkpoint(notes[verifier.name], verifier).size if notes else 0


async def test_the_registry_is_well_without_a_ledger_and_follows_it_once_it_is_there(site: Witnessed) -> None:
    there, site.target = site.target, "127.0.0.1:1"
    async with site.registry() as registry:
        assert (await registry.problems(), await lease_refused(registry)) == ((), None)
    site.target = there
    async with site.registry() as registry:
        await until(lambda: kept_size(site, registry) == site.shown.size)
        await site.shown.grow(1)
        await until(lambda: kept_size(site, registry) == site.shown.size)
        assert (await registry.problems(), await lease_refused(registry)) == ((), None)


async def test_audit_watch_follows_a_log_that_grows_and_cosigns_what_it_kept(site: Witnessed) -> None:
    key = Ed25519PrivateKey.generate()
    pem = site.folder / "cosign.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    pem.chmod(0o600)
    flags = ("--cosign-key", str(pem), "--cosign-name", "witness.example/one")
    sizes = []
    for _ in range(2):
        status, (line,), said = await site.audited(*flags)
        assert (status, line["logs"]) == (0, {site.shown.origin: site.shown.size})
        (cosigned,) = (site.folder / "witness.json.cosigned").iterdir()
        assert cosigned.name == site.shown.origin.replace("/", "%2F")
        verifier = CosignatureVerifier("witness.example/one", key.public_key().public_bytes_raw())
        assert verifier.vkey in said
        assert verifier.verify(cosigned.read_text()) > 0
        log = Verifier(site.shown.origin, PUBLIC_KEY)
        sizes.append(open_checkpoint(cosigned.read_text(), log).size)
        (kept,) = json.loads((site.folder / "witness.json").read_text())["checkpoints"]
        assert cosigned.read_text().startswith(kept)
        await site.shown.grow(1)
    assert sizes[0] < sizes[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_audit_watch_prints_a_line_for_each_look_and_ends_when_asked(
    site: Witnessed, number: signal.Signals
) -> None:
    process = await site.audit_watch("--every", "0.1")
    assert process.stdout is not None
    lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid, number)
    _, said = await process.communicate()
    assert (process.returncode, said, [line["status"] for line in lines]) == (0, b"", [0, 0])


async def test_audit_watch_ends_in_2_when_nobody_answers_or_its_identity_is_refused(site: Witnessed) -> None:
    status, (line,), _ = await site.audited("--target", "127.0.0.1:1")
    assert (status, line["reason"], line["why"]) == (2, "LEDGER_UNAVAILABLE", "no answer from 127.0.0.1:1")
    registrar = site.site.files("/registrar")
    for path, name in ((registrar.cert, "registrar.crt"), (registrar.key, "registrar.key")):
        (site.folder / "tls").mkdir(exist_ok=True)
        path.replace(site.folder / "tls" / name)
    status, (line,), _ = await site.audited("--as", "registrar")
    assert (status, line["reason"]) == (2, "RPC_NOT_ALLOWED")

"""The example sender and receiver as processes of their own, against a real broker."""

import asyncio
import json
import sys
from pathlib import Path

from services.formats.verify import verify
from tests.support.exchanges import RECIPIENT, SENDER, Platform, document, platform, private_pem, until


def flags(one: Platform, name: str, **more: object) -> list[str]:
    """What an example's command line says of the service `name`."""
    key, files = one.folder / f"{name}.pem", one.files(f"/service/{name}")
    key.write_bytes(private_pem(one.keys[name]))
    key.chmod(0o600)
    known = {"service": f"services/{name}", "cert": files.cert, "key": files.key, "ca": files.ca, "signing-key": key}
    return [part for flag, value in (known | more).items() for part in (f"--{flag}", str(value))]


async def started(module: str, arguments: list[str]) -> asyncio.subprocess.Process:
    """An example as a process of its own."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(sys.executable, "-m", module, *arguments, stdin=pipe, stdout=pipe)


async def test_the_example_sender_prints_how_each_bundle_ended(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        assert one.process is not None
        broker = {"broker": f"127.0.0.1:{one.process.rpc_port}", "trust-domain": "mes.example"}
        bad = tmp_path / "bad.xml"
        bad.write_bytes(b"no document at all")
        bundles = [["examples/documents/prescription.xml"], [str(bad)], ["nowhere.xml"]]
        request = {"patient": "a" * 32, "recipient": f"services/{RECIPIENT}", "purpose": "CARE"}
        lines = "".join(json.dumps(request | {"documents": paths}) + "\n" for paths in bundles)
        more: dict[str, object] = {**broker, "evidence": tmp_path / "evidence"}
        sender = await started("examples.sender", flags(one, SENDER, **more))
        printed, _ = await sender.communicate(lines.encode())
        delivered, refusal, failed = map(json.loads, printed.splitlines())
        evidence = tmp_path / "evidence" / f"{delivered['exchange']}.json"
        assert delivered["evidence_file"] == str(evidence)
        verify(evidence.read_bytes(), one.trust)
        assert delivered["documents"][0]["class"] == "42"
        assert (delivered["outcome"], delivered["reason"]) == ("DELIVERED", None)
        assert (refusal["outcome"], refusal["reason"]) == ("REFUSED", "DOCUMENT_MALFORMED")
        assert (failed["outcome"], failed["reason"]) == ("FAILED", "FIELD_INVALID")


async def test_the_example_receiver_keeps_what_is_delivered_and_says_so(tmp_path: Path) -> None:
    async with platform(tmp_path, None) as one:
        files: dict[str, object] = {"trust": tmp_path / "trust.json", "inbox": tmp_path / "inbox"}
        receiver = await started("examples.receiver", flags(one, RECIPIENT, **files))
        assert receiver.stdout is not None
        listening = json.loads(await receiver.stdout.readline())["listening"]
        one.change(RECIPIENT, endpoint=f"127.0.0.1:{listening}")
        await until(lambda: one.lease.asked[-1].known_sequence == one.lease.sequence)
        bundle = one.bundle(document(), document("prescription"))
        answer = await one.send(bundle)
        kept = json.loads(await receiver.stdout.readline())
        assert (kept["kept"], kept["documents"], kept["new"]) == (answer.receipt.exchange, 2, True)
        assert one.received() == [[document(), document("prescription")]]
        receiver.terminate()
        assert await receiver.wait() == 0

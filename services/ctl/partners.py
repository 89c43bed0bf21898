"""The two example services as processes of a stack: one sends (examples/sender), one receives (examples/receiver)."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from services.chassis.keys import load_signer
from services.ctl.keys import write_signing_key
from services.ctl.stack import ROOT, Stack, StackError, environment
from services.formats.jwk import VerifyKey

LINE_LIMIT = 1 << 22


class Partner:
    """A referenced service of the stack's trust domain: leaf, signing key, process."""

    def __init__(self, stack: Stack, service_id: str) -> None:
        self.stack, self.id, self.name = stack, service_id, f"services/{service_id}"
        self.signing_key = stack.folder / "keys" / f"{service_id}.pem"
        self._process: Process | None = None

    def prepare(self) -> VerifyKey:
        """Issues the leaf, makes the signing key if there is none, and returns its public half."""
        self.stack.issue_service(self.id)
        if not self.signing_key.exists():
            write_signing_key(self.signing_key)
        return load_signer(self.signing_key).verify_key

    async def start(self, module: str, *flags: str | Path) -> None:
        """Starts the example `module` as this service."""
        files = self.stack.tls(self.id)
        command: list[str | Path] = [sys.executable, "-m", module, "--service", self.name]
        command += [
            "--cert",
            files.cert,
            "--key",
            files.key,
            "--ca",
            files.ca,
            "--signing-key",
            self.signing_key,
            *flags,
        ]
        log = self.stack.folder / "logs" / f"{self.id}.log"
        with log.open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, stderr=errors, cwd=ROOT, env=environment(), limit=LINE_LIMIT
            )

    async def read(self) -> dict[str, Any]:
        """The next JSON line of the process. Raises: StackError when it ended."""
        process = self._running()
        line = await process.stdout.readline() if process.stdout else b""
        if not line:
            raise StackError(f"{self.name} ended: see {self.stack.folder / 'logs' / (self.id + '.log')}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One request line, one answer line."""
        process = self._running()
        if process.stdin is None:
            raise StackError(f"{self.name} reads nothing")
        process.stdin.write(json.dumps(request).encode() + b"\n")
        await process.stdin.drain()
        return await self.read()

    async def stop(self) -> None:
        """Ends the process."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.terminate()
        await process.wait()

    def _running(self) -> Process:
        if self._process is None:
            raise StackError(f"{self.name} is not running")
        return self._process


async def start_receiver(partner: Partner, port: int) -> None:
    """Starts the receiving example on a loopback port; its inbox is a folder of the stack."""
    folder = partner.stack.folder
    trust, inbox = folder / "trust.json", folder / "inbox"
    await partner.start("examples.receiver", "--trust", trust, "--inbox", inbox, "--listen", f"127.0.0.1:{port}")
    await partner.read()


async def start_sender(partner: Partner) -> None:
    """Starts the sending example; evidence goes to a folder of the stack."""
    stack = partner.stack
    flags = ("--broker", stack.target("exchange"), "--trust-domain", stack.trust_domain)
    await partner.start("examples.sender", *flags, "--evidence", stack.folder / "evidence")

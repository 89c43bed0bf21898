"""The real three services, and two referenced services that a test speaks for: what end-to-end tests stand on.

A `World` is processes and files, shared by tests; a `Visit` is one test's channels into it, with patients of its own.
"""

import asyncio
import itertools
import re
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from accord.consent.v1 import consent_pb2, decision_service_pb2, decision_service_pb2_grpc
from accord.registry.v1 import registry_pb2

from examples.sender.bundles import Bundle, Sender
from examples.sender.declaration import declare
from services.chassis.channel import open_channel
from services.chassis.identity import Identity
from services.chassis.keys import load_signer
from services.chassis.tls import TlsFiles
from services.ctl.keys import write_signing_key
from services.ctl.logbook import Logbook, read_log
from services.ctl.people import NOTICE, People, holder, service
from services.ctl.stack import ROOT, Stack, environment, free_ports
from services.errors import AccordError
from services.formats.entry import Entry, sha256_hex
from services.formats.rights import Purpose
from services.nomenclature.ins import Ins
from tests.support.register import siren

TRUST_DOMAIN = "mes.example"
SENDER, RECIPIENT, OTHER = "lumen", "carnet", "autre"
TEST_ROOT = "1.2.250.1.213.1.4.10"
EXAMPLE = ROOT / "examples" / "documents" / "depistage-auditif.xml"
_INS = re.compile(rb'(extension=")\d{15}(")')


@dataclass
class World:
    """A started stack with three referenced services; the recipient is the receiving example, in a process of its own."""

    stack: Stack
    receiver: "subprocess.Popen[bytes] | None" = None
    endpoint: int = 0
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(secrets.randbelow(10**8)))

    def start(self) -> None:
        """Starts everything."""
        self.stack.prepare()
        self.stack.start()
        (self.endpoint,) = free_ports(1)
        asyncio.run(self._reference())
        self.start_receiver()

    def stop(self) -> None:
        """Stops everything."""
        if self.receiver is not None:
            self.receiver.terminate()
            self.receiver.wait(20)
        self.stack.stop()

    def key(self, service_id: str) -> Path:
        """The signing key file of a service."""
        return self.stack.folder / "keys" / f"{service_id}.pem"

    async def _reference(self) -> None:
        endpoints = {RECIPIENT: f"localhost:{self.endpoint}"}
        async with People(self.stack) as people:
            for number, name in enumerate((SENDER, RECIPIENT, OTHER), 1):
                self.stack.issue_service(name)
                write_signing_key(self.key(name))
                key = load_signer(self.key(name)).verify_key
                described = service(name, name.title(), f"1.2.250.1.999.{number}", key, endpoints.get(name, ""))
                await people.reference(described, siren=siren(number))

    def start_receiver(self) -> None:
        """Starts the receiving example and waits until it listens."""
        folder, files = self.stack.folder, self.stack.tls(RECIPIENT)
        command = [sys.executable, "-m", "examples.receiver", "--service", f"services/{RECIPIENT}"]
        command += ["--listen", f"127.0.0.1:{self.endpoint}", "--cert", str(files.cert), "--key", str(files.key)]
        command += ["--ca", str(files.ca), "--signing-key", str(self.key(RECIPIENT))]
        command += ["--trust", str(folder / "trust.json"), "--inbox", str(self.inbox)]
        self.receiver = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment())
        assert self.receiver.stdout is not None
        assert self.receiver.stdout.readline()

    @property
    def inbox(self) -> Path:
        """The recipient's folder: one subfolder for each exchange it keeps."""
        return self.stack.folder / "inbox"

    def received(self) -> set[str]:
        """The exchanges that the recipient keeps, and whatever else of one reached its disk."""
        return {path.name for path in self.inbox.iterdir()}

    @asynccontextmanager
    async def visit(self) -> AsyncIterator["Visit"]:
        """One test's channels."""
        async with People(self.stack) as people, self.channel(SENDER, "exchange") as channel:
            yield Visit(self, people, channel)

    def channel(self, role: str, server: str) -> grpc.aio.Channel:
        """A channel to one of the three services, as one of the issued identities."""
        return self.open(self.stack.tls(role), server)

    def open(self, files: TlsFiles, server: str) -> grpc.aio.Channel:
        """A channel with any leaf."""
        return open_channel(self.stack.target(server), files, Identity(self.stack.trust_domain, f"/{server}"))


@dataclass(frozen=True)
class Person:
    """A patient of a test: identity, profile, pseudonyms and consents by service id."""

    ins: Ins
    profile: str
    pseudonyms: dict[str, str]
    consents: dict[str, str]


@dataclass
class Visit:
    """What a test does, and sees."""

    world: World
    people: People
    channel: grpc.aio.Channel

    async def patient(self, *grants: str) -> Person:
        """A new patient, paired with sender and recipient, who consents to those (by default to both)."""
        ins = new_ins(next(self.world.numbers))
        profile = await self.people.open_profile(ins)
        pseudonyms = {name: await self.people.pair(profile, f"services/{name}") for name in (SENDER, RECIPIENT)}
        person = Person(ins, profile, pseudonyms, {})
        for name in grants or (SENDER, RECIPIENT):
            person.consents[name] = await self.people.grant(profile, f"services/{name}")
        return person

    async def grant(self, person: Person, name: str, **changes: object) -> str:
        """A consent that differs from the everyday one: class 10, both directions, prevention, from now for a day."""
        fields: dict[str, object] = {
            "categories": ["class:10"],
            "directions": [registry_pb2.DIRECTION_READ, registry_pb2.DIRECTION_DEPOSIT],
            "purposes": [registry_pb2.PURPOSE_PREVENTION],
            "start_s": None,
            "end_s": None,
        }
        fields |= changes
        consent = consent_pb2.Consent(
            service=f"services/{name}",
            scope=consent_pb2.Scope(
                categories=fields["categories"],  # type: ignore[arg-type]
                directions=fields["directions"],  # type: ignore[arg-type]
                purposes=fields["purposes"],  # type: ignore[arg-type]
            ),
            notice_sha256=sha256_hex(NOTICE),
            actor=holder(),
        )
        now = consent.end_time
        now.GetCurrentTime()
        if fields["start_s"] is not None:
            consent.start_time.seconds = now.seconds + int(fields["start_s"])  # type: ignore[call-overload]
        consent.end_time.seconds += int(fields["end_s"] or 86_400)  # type: ignore[call-overload]
        return await self.people.consent(person.profile, consent)

    def document(self, person: Person, source: Path = EXAMPLE) -> bytes:
        """An example document of this patient."""
        found, count = _INS.subn(rb"\g<1>" + person.ins.matricule.encode() + rb"\g<2>", source.read_bytes())
        assert count
        return found

    def bundle(
        self,
        person: Person,
        *contents: bytes,
        sender: str = SENDER,
        recipient: str = RECIPIENT,
        patient: str | None = None,
        purpose: Purpose = Purpose.PREVENTION,
    ) -> Bundle:
        """A signed bundle of these bytes (by default one example document of the patient)."""
        folder = self.world.stack.folder / "outbox" / secrets.token_hex(8)
        folder.mkdir(parents=True)
        paths = []
        for number, content in enumerate(contents or (self.document(person),)):
            paths.append(folder / f"{number}.xml")
            paths[-1].write_bytes(content)
        declared = tuple(declare(path) for path in paths)
        signing = self.sender(sender, self.channel)
        return signing.sign(declared, patient or person.pseudonyms[SENDER], f"services/{recipient}", purpose)

    def sender(self, name: str, channel: grpc.aio.Channel) -> Sender:
        """A service that sends."""
        signer = load_signer(self.world.key(name))
        return Sender(f"services/{name}", signer, self.world.stack.trust_domain, channel)

    async def send(self, bundle: Bundle) -> bytes:
        """Sends as the sender, and returns the evidence. Raises: AccordError."""
        return (await self.sender(SENDER, self.channel).send(bundle)).evidence

    async def refused(self, bundle: Bundle) -> AccordError:
        """Sends what must be refused: nothing of it reaches the recipient."""
        before = self.world.received()
        try:
            await self.send(bundle)
        except AccordError as error:
            assert self.world.received() == before
            return error
        raise AssertionError("the bundle was delivered")

    async def check(self, person: Person, name: str = SENDER, **changes: object) -> decision_service_pb2.Verdict:
        """Asks for advice as a service."""
        fields: dict[str, object] = {
            "service": f"services/{name}",
            "patient": person.pseudonyms[SENDER],
            "direction": registry_pb2.DIRECTION_DEPOSIT,
            "counterparty": f"services/{RECIPIENT}",
            "purpose": registry_pb2.PURPOSE_PREVENTION,
            "categories": ["class:10"],
        }
        query = decision_service_pb2.Query(**(fields | changes))  # type: ignore[arg-type]
        async with self.world.channel(name, "consent") as channel:
            stub = decision_service_pb2_grpc.DecisionServiceStub(channel)
            return (await stub.Check(decision_service_pb2.CheckRequest(query=query), timeout=10)).verdict

    async def log(self) -> Logbook:
        """The whole log, checked against its signed checkpoint."""
        (book,) = await read_log(self.people.audit, self.world.stack.trust)
        return book

    async def entries(self, exchange: str) -> list[Entry]:
        """The log's entries about an exchange."""
        return [entry for entry in (await self.log()).entries if entry.exchange == exchange]


def new_ins(number: int) -> Ins:
    """A valid test identity, another for each number below 10⁸."""
    root = 1_790_300_000_000 + number
    return Ins(TEST_ROOT, f"{root}{97 - root % 97:02}")

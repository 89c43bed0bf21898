"""The demonstration on a real stack: reference → ask → consent → forward → evidence → revoke → refused → audit.

Every document of the folder is sent through the broker, one bundle each, and ends forwarded or refused with its reason.
"""

import asyncio
import json
import secrets
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.ctl.logbook import Logbook, read_log
from services.ctl.partners import Partner, start_receiver, start_sender
from services.ctl.people import People, service
from services.ctl.stack import ROOT, Stack, environment, free_ports
from services.errors import AccordError
from services.exchange.domain.cda import CdaReader
from services.exchange.domain.patient import patient_ins
from services.nomenclature.ins import Ins

SENDER, RECIPIENT = "lumen-audition", "carnet-partage"
CHUNK = 1 << 18


@dataclass(slots=True)
class Sent:
    """How one document fared."""

    path: Path
    outcome: str
    reason: str
    type: str = ""
    document_class: str = ""
    size: int = 0
    evidence: Path | None = None


@dataclass(slots=True)
class Patient:
    """A patient of the story: profile, the sender's pseudonym, the two consents."""

    profile: str
    pseudonym: str
    consents: dict[str, str]


@dataclass(slots=True)
class Result:
    """What the story showed."""

    documents: list[Sent] = field(default_factory=list)
    patients: int = 0
    verified: int = 0
    broken: list[str] = field(default_factory=list)
    after_revoke: Sent | None = None
    logs: list[Logbook] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether everything promised was seen."""
        forwarded = [item for item in self.documents if item.outcome == "DELIVERED"]
        proven = not self.broken and self.verified == len(forwarded)
        stopped = self.after_revoke.reason == "CONSENT_REVOKED" if self.after_revoke else not forwarded
        return proven and stopped and not any(log.violations for log in self.logs)


Say = Callable[[str], None]
Seen = Callable[[Sent], None]


class Story:
    """Plays on a started stack; `say` hears of each step, `seen` of each document."""

    def __init__(self, stack: Stack, say: Say, seen: Seen) -> None:
        self._stack, self._say, self._seen = stack, say, seen
        self._sender, self._receiver = Partner(stack, SENDER), Partner(stack, RECIPIENT)
        self._patients: dict[Ins, Patient | None] = {}

    async def play(self, documents: list[Path]) -> Result:
        """The whole story. Raises: StackError, AccordError when the platform itself fails."""
        result = Result()
        async with People(self._stack) as people:
            try:
                await self._reference(people)
                await self._forward(people, documents, result)
                await self._verify(result)
                await self._revoke(people, result)
                self._say("The auditor reads the whole log and checks it against the signed checkpoint")
                result.logs = await read_log(people.audit, self._stack.trust)
            finally:
                await self._sender.stop()
                await self._receiver.stop()
        return result

    async def _reference(self, people: People) -> None:
        self._say("The registrar references two services: one sends, one receives")
        (port,) = free_ports(1)
        sending = service(SENDER, "Lumen Audition", "1.2.250.1.999.1", self._sender.prepare())
        receiving = service(
            RECIPIENT, "Carnet Partagé", "1.2.250.1.999.2", self._receiver.prepare(), f"localhost:{port}"
        )
        await people.reference(sending, siren="552100554")
        await people.reference(receiving, siren="443061841")
        await start_receiver(self._receiver, port)
        await start_sender(self._sender)

    async def _forward(self, people: People, documents: list[Path], result: Result) -> None:
        self._say(
            "The sender asks each patient for consent; they type its code on the portal, and grant less than asked"
        )
        self._say("They consent to the recipient of their own accord; each document goes through the broker")
        for path in documents:
            patient = await self._patient(people, await asyncio.to_thread(read_ins, path))
            sent = await self._send(path, patient)
            result.documents.append(sent)
            self._seen(sent)
        result.patients = sum(patient is not None for patient in self._patients.values())

    async def _patient(self, people: People, ins: Ins | None) -> Patient | None:
        if ins is None:
            return None
        if ins not in self._patients:
            self._patients[ins] = await self._welcome(people, ins)
        return self._patients[ins]

    async def _welcome(self, people: People, ins: Ins) -> Patient | None:
        try:
            profile = await people.open_profile(ins)
        except AccordError:
            return None  # no profile, no pseudonym: the broker will say what is wrong with the document
        request, code = await people.ask(SENDER)
        await people.accept(profile, code)
        answer = await people.poll(SENDER, request)
        await people.pair(profile, self._receiver.name)
        consents = {
            self._sender.name: answer.consent,
            self._receiver.name: await people.grant(profile, self._receiver.name),
        }
        return Patient(profile, answer.patient, consents)

    async def _send(self, path: Path, patient: Patient | None) -> Sent:
        # A document without a profile is sent under a pseudonym that was never given out.
        pseudonym = patient.pseudonym if patient else secrets.token_hex(16)
        request = {"documents": [str(Path.cwd() / path)], "patient": pseudonym}
        answer = await self._sender.ask(request | {"recipient": self._receiver.name, "purpose": "CARE"})
        described = (answer["documents"] or [{}])[0]
        evidence = Path(answer["evidence_file"]) if answer["evidence_file"] else None
        return Sent(
            path,
            answer["outcome"],
            answer["reason"] or "",
            described.get("type") or "",
            described.get("class") or "",
            described.get("size") or 0,
            evidence,
        )

    async def _verify(self, result: Result) -> None:
        self._say("A process of its own verifies every evidence file, with TRUST and no network: accord verify")
        files = [str(sent.evidence) for sent in result.documents if sent.evidence]
        if not files:
            return
        command = (sys.executable, "-m", "services.ctl", "verify", *files, "--json")
        trust = str(self._stack.folder / "trust.json")
        process = await asyncio.create_subprocess_exec(
            *command, "--trust", trust, stdout=PIPE, env=environment(), cwd=ROOT
        )
        said, _ = await process.communicate()
        for verdict in map(json.loads, said.splitlines()):
            if verdict["verified"]:
                result.verified += 1
            else:
                result.broken.append(f"{verdict['file']}: step {verdict['step']}: {verdict['why']}")

    async def _revoke(self, people: People, result: Result) -> None:
        first = next((sent for sent in result.documents if sent.outcome == "DELIVERED"), None)
        ins = await asyncio.to_thread(read_ins, first.path) if first else None
        patient = self._patients.get(ins) if ins else None
        if first is None or patient is None:
            return
        self._say(f"The patient of {first.path.name} withdraws the consent; the same document is sent again")
        await people.revoke(patient.consents[self._sender.name])
        result.after_revoke = await self._send(first.path, patient)


def read_ins(path: Path) -> Ins | None:
    """The identity a document names, test identities included; None when it names none that is valid."""
    reader = CdaReader()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                reader.feed(chunk)
        return patient_ins(reader.close(), allow_test=True)
    except AccordError:
        return None

"""Each rule of each step of verification: broken alone, with all else true and signed, it names its own step."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.errors import Reason
from services.formats.entry import EntryType, OutcomeResult, Pin
from services.formats.evidence import Evidence
from services.formats.jwk import LocalSigner
from services.formats.rights import Purpose
from services.formats.trust import DISTANT_MS, KeyRole, Trust
from services.formats.verify import STEPS, VerificationError, verify
from services.tlog.checkpoint import Checkpoint, sign_checkpoint
from services.tlog.note import Verifier
from services.tlog.tree import EMPTY_ROOT
from tests.support.evidence import (
    DAY_MS,
    DOMAIN,
    NOW_MS,
    ORIGIN,
    RECIPIENT,
    SENDER,
    STRANGER,
    Exchange,
    SmallLog,
    document,
    signer,
)

TRUST = Exchange().trust
GENUINE = Exchange().evidence()
DATA = GENUINE.to_bytes()
Making = Callable[[], tuple[Evidence, Trust]]


def made(exchange: Exchange | None = None, trust: Trust | None = None, **changes: dict[str, Any]) -> Making:
    """Evidence of `exchange` with `changes`, and the trust to verify it with."""
    exchange = exchange or Exchange()

    def make() -> tuple[Evidence, Trust]:
        # The records' order and the logs grow while it is made, so each making has an exchange of its own.
        fresh = replace(exchange, log=SmallLog(exchange.log.signer.name))
        return fresh.evidence(**changes), trust or fresh.trust

    return make


def edited(**parts: Any) -> Making:
    """Genuine evidence with whole parts of the file replaced."""
    return lambda: (replace(GENUINE, **parts), TRUST)


def with_key(name: str) -> Exchange:
    """An exchange where another key than the one of TRUST or registry signs."""
    exchange = Exchange()
    exchange.keys[name] = signer("intruder")
    return exchange


def dated(role: KeyRole, from_ms: int = 0, until_ms: int = DISTANT_MS) -> Trust:
    """TRUST with a role's key good at other times."""
    trust = Exchange().trust
    keys = (replace(key, from_ms=from_ms, until_ms=until_ms) if key.role is role else key for key in trust.keys)
    return replace(trust, keys=tuple(keys))


def two_roots() -> tuple[Evidence, Trust]:
    """A log that signed two roots for one size, one for each entry."""
    exchange, fork = Exchange(), SmallLog()
    exchange.outcome_log = fork
    fork.leaves = [bytes(32)] * 4
    evidence = exchange.evidence()
    while len(exchange.log.leaves) < len(fork.leaves):
        exchange.log.append(b"what the other root does not cover")
    return replace(evidence, authorization=replace(evidence.authorization, proof=exchange.log.proof(3))), exchange.trust


def other_log() -> tuple[Evidence, Trust]:
    """An outcome in a later epoch's log, which TRUST lists too: indices of two logs mean nothing to each other."""
    exchange, later = Exchange(), SmallLog(f"{DOMAIN}/ledger/2/0")
    exchange.outcome_log = later
    later.leaves = [bytes(32)] * 6
    return exchange.evidence(), replace(exchange.trust, logs=(*exchange.trust.logs, later.signer.verifier))


def swapped() -> tuple[Evidence, Trust]:
    return replace(GENUINE, authorization=GENUINE.outcome, outcome=GENUINE.authorization), TRUST


def earlier_outcome() -> tuple[Evidence, Trust]:
    """An outcome that stands before its authorisation."""
    exchange = Exchange()
    return exchange.evidence(result={"authorization": 6}), exchange.trust


def extra_signature() -> tuple[Evidence, Trust]:
    """A checkpoint that a key signed which TRUST does not list: it could say anything."""
    other = SmallLog("witness.example")
    logged = GENUINE.authorization
    head, _, note = logged.proof.partition("\n\n")
    line = sign_checkpoint(Checkpoint("witness.example", 0, EMPTY_ROOT), other.signer)
    return replace(GENUINE, authorization=replace(logged, proof=f"{head}\n\n{note}{line.splitlines()[-1]}\n")), TRUST


NOBODY_S_LOG = replace(Exchange().trust, logs=())
ANOTHER_KEY = replace(Exchange().trust, logs=(Verifier(ORIGIN, SmallLog("another").signer.public_key),))
BREAKS: dict[str, tuple[int, Making]] = {
    # The log holds the authorisation
    "the entry is a denial": (
        2,
        made(authorization={"type": EntryType.EXCHANGE_DENIED, "reason": Reason.CONSENT_REVOKED}),
    ),
    "the authorisation names no exchange": (2, made(authorization={"exchange": ""})),
    "the authorisation names no sender": (2, made(authorization={"service": ""})),
    "the authorisation names no recipient": (2, made(authorization={"counterparty": ""})),
    "TRUST does not list the log": (2, made(trust=NOBODY_S_LOG)),
    "TRUST lists another key for the log": (2, made(trust=ANOTHER_KEY)),
    "the log is of another epoch": (2, made(Exchange(log=SmallLog(f"{DOMAIN}/ledger/2/0")), Exchange().trust)),
    "the entry is of another shard": (2, made(authorization={"shard": 1})),
    "the body is not what was committed to": (2, made(authorization={"commit": "0" * 64})),
    "the salt is another": (2, edited(authorization=replace(GENUINE.authorization, salt=b"x" * 32))),
    "the salt is of another length": (2, edited(authorization=replace(GENUINE.authorization, salt=b"s" * 31))),
    "the proof is of another entry": (
        2,
        edited(authorization=replace(GENUINE.authorization, proof=GENUINE.outcome.proof)),
    ),
    "the checkpoint carries a signature that TRUST does not explain": (2, extra_signature),
    "authorisation and outcome are swapped": (2, swapped),
    # The log holds its outcome, after it
    "the outcome is a second authorisation": (3, edited(outcome=GENUINE.authorization)),
    "the outcome is an entry of another type": (3, made(outcome={"type": EntryType.EXCHANGE_REFUSED})),
    "the outcome says nothing": (3, made(outcome={"outcome": None})),
    "the outcome is of another authorisation": (3, made(result={"authorization": 2})),
    "the outcome is of an authorisation after it": (3, earlier_outcome),
    "the outcome is of another exchange": (3, made(outcome={"exchange": "0" * 64})),
    "the bundle was not delivered": (3, made(result={"result": OutcomeResult.PARTIAL})),
    "the outcome is disputed": (3, made(result={"result": OutcomeResult.DISPUTED})),
    "the outcome is unknown": (3, made(result={"result": OutcomeResult.UNKNOWN})),
    "the outcome is older than its authorisation": (3, made(outcome={"time_ms": NOW_MS - 1})),
    "the outcome is in another log": (3, other_log),
    "the outcome is in another shard": (3, made(outcome={"shard": 1})),
    "the outcome's body is not what was committed to": (3, made(outcome={"commit": "0" * 64})),
    "the log signed two roots for one size": (3, two_roots),
    # The registry signed the lease, no older than the entries
    "an intruder signed the lease": (4, made(with_key("lease"), Exchange().trust)),
    "the lease is of another trust domain": (4, made(lease={"domain": "other.example"})),
    "the lease is older than the authorisation's pin": (4, made(Exchange(pinned=(Pin(8, "a" * 64), Pin(7, "b" * 64))))),
    "the lease is older than the outcome's pin": (4, made(Exchange(pinned=(Pin(6, "a" * 64), Pin(8, "b" * 64))))),
    "the lease contradicts the authorisation's pin": (4, made(Exchange(pinned=(Pin(7, "a" * 64), Pin(6, "b" * 64))))),
    "the lease contradicts the outcome's pin": (4, made(Exchange(pinned=(Pin(6, "a" * 64), Pin(7, "b" * 64))))),
    "the lease's key was not yet good": (4, made(trust=dated(KeyRole.LEASE, from_ms=NOW_MS + DAY_MS))),
    "the lease's key was no longer good": (4, made(trust=dated(KeyRole.LEASE, until_ms=NOW_MS + 10_000))),
    # The lease holds sender and recipient
    "the sender's record is another service's": (5, made(records={"sender": STRANGER})),
    "the recipient's record is another service's": (5, made(records={"recipient": STRANGER})),
    "sender's and recipient's records are swapped": (5, made(records={"sender": RECIPIENT, "recipient": SENDER})),
    "the lease is of another snapshot": (
        5,
        made(Exchange(pinned=(Pin(1, "a" * 64),) * 2), lease={"pin": Pin(7, "0" * 64)}),
    ),
    "the lease counts other records": (5, made(lease={"size": 8})),
    # The sender signed the manifest of this exchange
    "an intruder signed the manifest": (
        6,
        lambda: (replace(GENUINE, manifest=verify(DATA, TRUST).manifest.sign(signer("intruder"))), TRUST),
    ),
    "the manifest is of another exchange": (
        6,
        made(authorization={"exchange": "0" * 64}, outcome={"exchange": "0" * 64}),
    ),
    "the manifest is another service's": (6, made(manifest={"sender": STRANGER})),
    "the manifest is for another recipient": (6, made(manifest={"recipient": STRANGER})),
    "the manifest is for another trust domain": (6, made(manifest={"audience": "other.example"})),
    "the authorisation was for another purpose": (6, made(query={"purpose": "PREVENTION"})),
    "the authorisation was for another direction": (6, made(query={"direction": "READ"})),
    "the authorisation was for other categories": (6, made(query={"categories": ["class:10", "class:43"]})),
    "a document's type is of no known code system": (
        6,
        made(Exchange(documents=(document(), document(system="1.2.3")))),
    ),
    # The ledger signed the permit for this authorisation
    "an intruder signed the permit": (7, made(with_key("permit"), Exchange().trust)),
    "the permit is of another trust domain": (7, made(permit={"issuer": "other.example"})),
    "the permit is of another log": (7, made(permit={"origin": f"{DOMAIN}/ledger/1/1"})),
    "the permit is of another index": (7, made(permit={"index": 2})),
    "the permit is of another leaf": (7, made(permit={"leaf": "0" * 64})),
    "the permit is for another exchange": (7, made(permit={"exchange": "0" * 64})),
    "the permit is for another sender": (7, made(permit={"sender": STRANGER})),
    "the permit is for another recipient": (7, made(permit={"recipient": STRANGER})),
    "the permit is for another purpose": (7, made(permit={"purpose": Purpose.DIAGNOSIS})),
    "the permit ends before the authorisation": (7, made(permit={"expires_s": NOW_MS // 1000 + 4})),
    "the authorisation has no end": (
        7,
        made(authorization={"until_ms": None}, permit={"expires_s": NOW_MS // 1000 + 5}),
    ),
    "the permit's key was not yet good": (7, made(trust=dated(KeyRole.PERMIT, from_ms=NOW_MS + 1))),
    "the permit's key was no longer good": (7, made(trust=dated(KeyRole.PERMIT, until_ms=NOW_MS))),
    # The broker countersigned the same documents
    "an intruder countersigned": (8, made(with_key("broker"), Exchange().trust)),
    "the countersignature is of another trust domain": (8, made(broker_manifest={"issuer": "other.example"})),
    "the countersignature is of another permit": (8, made(broker_manifest={"permit_sha256": "0" * 64})),
    "the countersignature is of another exchange": (8, made(broker_manifest={"exchange": "0" * 64})),
    "the countersignature names another sender": (8, made(broker_manifest={"sender": STRANGER})),
    "the countersignature is for another recipient": (
        8,
        made(broker_manifest={"recipient": STRANGER}, acknowledgement={"recipient": RECIPIENT}),
    ),
    "the countersignature is for another purpose": (8, made(broker_manifest={"purpose": Purpose.PREVENTION})),
    "the countersignature covers another document": (
        8,
        made(broker_manifest={"documents": (document(), document("x"))}),
    ),
    "the countersignature covers fewer documents": (8, made(broker_manifest={"documents": (document(),)})),
    "the countersignature covers them in another order": (
        8,
        made(broker_manifest={"documents": (document("two"), document())}),
    ),
    "the broker's key was no longer good": (8, made(trust=dated(KeyRole.BROKER, until_ms=NOW_MS))),
    # The recipient acknowledged every document
    "another key acknowledged": (9, lambda: acknowledged_by(signer("intruder"))),
    "the sender acknowledged to itself": (9, lambda: acknowledged_by(signer(SENDER))),
    "the acknowledgement is another service's": (9, made(acknowledgement={"recipient": STRANGER})),
    "the acknowledgement is for another trust domain": (9, made(acknowledgement={"audience": "other.example"})),
    "the acknowledgement is of another exchange": (9, made(acknowledgement={"exchange": "0" * 64})),
    "the acknowledgement is of another manifest": (9, made(acknowledgement={"manifest_sha256": "0" * 64})),
    "the acknowledgement lists another document": (9, made(acknowledgement={"documents": ("0" * 64, "1" * 64)})),
    "the acknowledgement lists fewer documents": (9, made(acknowledgement={"documents": (document().sha256,)})),
    "the acknowledgement lists none": (9, made(acknowledgement={"documents": ()})),
    # The outcome records this acknowledgement
    "the outcome records another acknowledgement": (10, made(outcome_body={"acknowledgement_sha256": "0" * 64})),
    "the outcome records no acknowledgement": (10, made(outcome_body={"acknowledgement_sha256": ""})),
    "the outcome records another countersignature": (10, made(outcome_body={"manifest_sha256": "0" * 64})),
    "the outcome records fewer bytes": (10, made(result={"bytes_sent": 5})),
    "the outcome records more bytes": (10, made(result={"bytes_sent": 7})),
}


def acknowledged_by(key: LocalSigner) -> tuple[Evidence, Trust]:
    """The recipient's exact words under another key; the registry knows the recipient's own."""
    return replace(GENUINE, acknowledgement=verify(DATA, TRUST).acknowledgement.sign(key)), TRUST


@pytest.mark.parametrize(("number", "making"), BREAKS.values(), ids=BREAKS.keys())
def test_the_first_broken_step_is_named(number: int, making: Making) -> None:
    evidence, trust = making()
    with pytest.raises(VerificationError) as caught:
        verify(evidence.to_bytes(), trust)
    error = caught.value
    assert (error.number, error.title) == (number, STEPS[number - 1][0]), error.why
    assert re.fullmatch(rf"step {number}, {re.escape(error.title)}: .+", str(error))


def test_every_step_but_the_first_has_a_rule_that_is_broken_alone() -> None:
    assert {number for number, _ in BREAKS.values()} == set(range(2, len(STEPS) + 1))


def test_a_step_is_heard_only_when_it_held() -> None:
    heard: list[int] = []
    evidence, trust = BREAKS["the permit is of another index"][1]()
    with pytest.raises(VerificationError):
        verify(evidence.to_bytes(), trust, lambda number, _: heard.append(number))
    assert heard == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "pins", [(Pin(6, "a" * 64), Pin(6, "a" * 64)), (Pin(1, "a" * 64), Pin(6, "b" * 64)), None], ids=str
)
def test_a_lease_as_new_as_the_entries_or_newer_does(pins: tuple[Pin, Pin] | None) -> None:
    exchange = Exchange(pinned=pins)
    verify(exchange.evidence().to_bytes(), exchange.trust)


def test_an_outcome_may_be_recorded_within_the_millisecond_of_its_authorisation() -> None:
    exchange = Exchange()
    verify(exchange.evidence(outcome={"time_ms": NOW_MS}).to_bytes(), exchange.trust)


def test_the_two_entries_may_be_proven_against_one_checkpoint_or_two() -> None:
    exchange = Exchange()
    evidence = exchange.evidence()
    exchange.log.append(b"a later entry")
    later = replace(evidence, outcome=replace(evidence.outcome, proof=exchange.log.proof(5)))
    assert later.outcome.proof != evidence.outcome.proof
    verify(later.to_bytes(), exchange.trust)

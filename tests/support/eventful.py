"""A ledger to which everything has happened once: every type of entry, a row in every table, an erasure and a retention."""

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.consent.domain.terms import Limits, Quota
from services.consent.indexing import Indexer
from services.errors import Reason
from services.formats import jws
from services.formats.assertion import ASSERTION
from services.formats.entry import EntryType, OutcomeResult
from services.formats.jwk import LocalSigner
from services.formats.trust import Trust
from services.tlog.note import Verifier
from tests.support.ledgers import (
    DAY_MS,
    EVERYTHING,
    HOLDER,
    NOTICE,
    PUBLIC_KEY,
    RECIPIENT,
    SENDER,
    Bench,
    ins,
    outcome,
    query,
    record,
)

PORTAL = LocalSigner(Ed25519PrivateKey.from_private_bytes(b"p" * 32))
PLATFORM = c.Actor(c.PLATFORM, "")


def trust_of(bench: Bench) -> Trust:
    """TRUST of a bench's logs."""
    return Trust("accord.example", tuple(Verifier(log.origin, PUBLIC_KEY) for log in bench.logs), ())


def asserted(bench: Bench, says: str = "{}") -> c.Assertion:
    """An assertion that the portal signed, whatever it says."""
    return c.Assertion(jws.sign(PORTAL, ASSERTION, says.encode()), PORTAL.verify_key.kid)


async def everything(bench: Bench) -> None:
    """Lets everything happen, the oldest five years ago."""
    address = await _consents(bench)
    await _exchanges(bench, address)
    await _minor(bench)
    await _requests(bench, address)
    await _endings(bench)
    indexer = Indexer(bench.database)
    await indexer.catch_up(indexer.logs())
    await indexer.close()


async def _consents(bench: Bench) -> c.Address:
    address = await bench.open_profile(c.OpenProfile(ins(1), opt_out=True))
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_ACTIVATED, HOLDER))
    await bench.across.add_identity(c.AddIdentity(ins(101), address))
    for service in (SENDER, RECIPIENT):
        await bench.ledger.do(c.Pair(address, service))
    limits = Limits(quota=Quota(5, 3600), exceptions=frozenset({"type:PRESC-BIO"}))
    sending = await bench.grant(address, SENDER, days=2000, limits=limits)
    granting = c.Grant(
        address,
        RECIPIENT,
        EVERYTHING,
        None,
        bench.clock.now_ms + 2000 * DAY_MS,
        NOTICE,
        HOLDER,
        "request-of-amend",
        "d",
    )
    read = await bench.ledger.do(replace(granting, assertion=asserted(bench)))
    amending = c.Amend(
        read.shard, read.consent, EVERYTHING, read.end_ms, NOTICE, Limits(), HOLDER, "request-amending", "d"
    )
    await bench.ledger.do(replace(amending, assertion=asserted(bench, '{"a":1}')))
    for to in (ConsentState.SUSPENDED, ConsentState.ACTIVE):
        bench.clock.now_ms += 1
        await bench.ledger.do(c.MoveConsent(read.shard, sending.consent, to, HOLDER))
    await bench.ledger.do(c.RecordNotice(address, sending.shard, sending.consent, 2, "letter", bench.clock.now_ms))
    return address


async def _exchanges(bench: Bench, address: c.Address) -> None:
    for _ in range(2):
        exchange = bench.exchange()
        decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (ins(101),), "t" * 43))
        assert decision.permit is not None
        await bench.ledger.do(outcome(decision, exchange, result=OutcomeResult.UNKNOWN))
        await bench.ledger.do(outcome(decision, exchange))
    await bench.authorize(query(address))
    bench.clock.now_ms += 1000
    await bench.ledger.sweep(0)
    await bench.authorize(query(address))
    await bench.authorize(query(address, categories=frozenset({"class:90"})))
    await bench.authorize(query(None))
    await bench.ledger.do(c.RecordRefusal(SENDER, address, bench.exchange(), Reason.DIGEST_MISMATCH))
    await bench.ledger.do(c.RecordRead(address.shard, "ListEntries", {"service": SENDER}))


async def _minor(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(2), majority_ms=bench.clock.now_ms + 3000 * DAY_MS))
    for person in ("father", "mother"):
        await bench.ledger.do(c.Represent(address, person, True))
    await bench.ledger.do(c.Represent(address, "father", False))
    await bench.ledger.do(c.Pair(address, SENDER))
    mother = c.Actor(c.REPRESENTATIVE, "eidas2", "mother")
    granting = c.Grant(
        address, SENDER, EVERYTHING, None, bench.clock.now_ms + DAY_MS, NOTICE, mother, "request-of-mother", "d"
    )
    await bench.ledger.do(replace(granting, assertion=asserted(bench, '{"b":1}')))
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_SUSPENDED, PLATFORM, "fraud"))


async def _requests(bench: Bench, address: c.Address) -> None:
    end_ms = bench.clock.now_ms + 900 * DAY_MS
    asked = [
        await bench.ledger.do(
            c.RequestConsent(SENDER, EVERYTHING, None, end_ms, Limits(), 86_400, f"request-asked-{number}", "d")
        )
        for number in range(3)
    ]
    granting = c.Grant(address, SENDER, EVERYTHING, None, end_ms, NOTICE, HOLDER, "", "d", assertion=asserted(bench))
    await bench.across.grant(granting, asked[0].shard, asked[0].request)
    await bench.ledger.do(c.DecideRequest(asked[1].shard, asked[1].request, address, False, HOLDER))
    moved = await bench.open_profile(c.OpenProfile(ins(3)))
    for move, actor in (
        (EntryType.PROFILE_SUSPENDED, PLATFORM),
        (EntryType.PROFILE_RESUMED, PLATFORM),
        (EntryType.PROFILE_CLOSED, HOLDER),
        (EntryType.PROFILE_REOPENED, HOLDER),
    ):
        await bench.ledger.do(c.MoveProfile(moved, move, actor, "why"))
    barred = await bench.open_profile(c.OpenProfile(ins(9)))
    for move, actor in ((EntryType.PROFILE_SUSPENDED, PLATFORM), (EntryType.PROFILE_CLOSED, HOLDER)):
        await bench.ledger.do(c.MoveProfile(barred, move, actor, "why"))
    await bench.open_profile(c.OpenProfile(ins(7), opt_out=True))


async def _endings(bench: Bench) -> None:
    """A consent withdrawn and acknowledged, a year later an erasure, five years later a retention."""
    address = await bench.consenting(4)
    await bench.grant(address, SENDER, days=800)
    other = await bench.grant(address, SENDER)
    await bench.revoke(other)
    await bench.ledger.do(c.AcknowledgeRevocation(other.shard, other.consent, SENDER))
    await bench.authorize(query(address))
    bench.clock.now_ms += 365 * DAY_MS
    bench.view.set([record(SENDER), record(RECIPIENT)])
    while await bench.ledger.sweep(0):
        pass
    await bench.ledger.do(c.MoveProfile(address, EntryType.PROFILE_CLOSED, HOLDER))
    await bench.ledger.do(c.Erase(address, "art17", False))
    bench.clock.now_ms += 4 * 365 * DAY_MS
    await bench.ledger.do(c.Retain(0, 2026, "retention"))
    bench.view.set([record(SENDER)])
    bench.view.set([record(SENDER), record(RECIPIENT)])
    address = await bench.patient(5)
    for service in (SENDER, RECIPIENT):
        await bench.grant(address, service, limits=Limits(quota=Quota(2)))
    await bench.authorize(query(address))
    await bench.revoke(await bench.grant(await bench.patient(6), SENDER))
    await bench.open_profile(c.OpenProfile(ins(8), opt_out=True))

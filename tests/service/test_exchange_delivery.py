"""How sending ends: what cuts it, what a recipient can do, and a ledger that forgets. Over real mutual TLS."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from accord.consent.v1 import decision_service_pb2 as decision_pb
from accord.exchange.v1 import delivery_service_pb2 as delivery_pb

from services.errors import Reason
from services.formats.acknowledgement import Acknowledgement
from services.formats.entry import sha256_hex
from services.formats.lease import Status
from services.formats.manifest import open_broker_manifest
from services.formats.trust import KeyRole
from tests.support.exchanges import RECIPIENT, SENDER, Platform, StandIn, big_document, document, platform, until
from tests.support.ledger_simulator import CONSENT
from tests.support.running import Failure, failure

Code = grpc.StatusCode
FAILED, UNKNOWN, DISPUTED = decision_pb.OUTCOME_FAILED, decision_pb.OUTCOME_UNKNOWN, decision_pb.OUTCOME_DISPUTED
SECRET = "Madame Delannoy, chambre 12"
BIG = 12 << 20
"""More than the buffers between two processes hold, so that a recipient which stops reading stops the broker."""


def ended(one: Platform) -> list[int]:
    """The outcomes told to the ledger."""
    return [outcome.outcome for outcome in one.ledger.outcomes]


async def stalled(platform_: Platform, cut: Callable[[Platform], Awaitable[None]], size: int = BIG) -> Failure:
    """Sends a big bundle to a recipient that stops reading after a chunk, and cuts it then."""
    recipient = platform_.recipient
    assert isinstance(recipient, StandIn)
    sending = asyncio.create_task(failure(platform_.send(platform_.bundle(big_document(size)))))
    await until(lambda: recipient.seen.get("chunk"))
    await cut(platform_)
    return await sending


async def reads_one_chunk(self: StandIn, frames: Any, context: Any) -> Any:
    async for frame in frames:
        if frame.HasField("chunk"):
            await asyncio.Event().wait()


@pytest.fixture
def recipient() -> StandIn:
    return StandIn(reads_one_chunk)


async def test_threat_20_a_revocation_cuts_a_transfer_that_is_under_way(tmp_path: Path, recipient: StandIn) -> None:
    async def revoke(one: Platform) -> None:
        one.ledger.check_denial = Reason.CONSENT_REVOKED

    async with platform(tmp_path, recipient) as one:
        seen = await stalled(one, revoke)
        assert (seen.code, seen.reasons) == (Code.PERMISSION_DENIED, ["CONSENT_REVOKED"])
        assert (ended(one), recipient.seen.get("commit")) == ([FAILED], None)
        assert 0 < one.ledger.outcomes[0].bytes_sent < BIG


async def test_threat_20_withdrawing_what_it_rests_on_cuts_a_transfer_though_another_consent_would_carry_it(
    tmp_path: Path, recipient: StandIn
) -> None:
    async def revoke(one: Platform) -> None:
        one.ledger.revoked.add(CONSENT)

    async with platform(tmp_path, recipient) as one:
        seen = await stalled(one, revoke)
        assert (seen.code, seen.reasons) == (Code.PERMISSION_DENIED, ["CONSENT_REVOKED"])
        assert (ended(one), recipient.seen.get("commit")) == ([FAILED], None)


async def test_a_permit_that_ends_unrenewed_cuts_a_transfer(tmp_path: Path, recipient: StandIn) -> None:
    async def silence(one: Platform) -> None:
        one.ledger.failing["Check"] = Code.UNAVAILABLE

    async with platform(tmp_path, recipient) as one:
        one.ledger.permit_life_s = 1
        seen = await stalled(one, silence)
        assert (seen.code, seen.reasons) == (Code.ABORTED, ["PERMIT_EXPIRED"])
        assert (ended(one), recipient.seen.get("commit")) == ([FAILED], None)


async def test_rechecks_carry_a_transfer_beyond_its_permit(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def waits(self: StandIn, frames: Any, context: Any) -> Any:
        async def held() -> Any:
            async for frame in frames:
                if frame.HasField("chunk"):
                    await go.wait()
                yield frame

        return await one.receiver.Deliver(held(), context)

    async with platform(tmp_path, StandIn(waits)) as one:
        one.ledger.permit_life_s = 2
        sending = asyncio.create_task(one.send(one.bundle(big_document(BIG))))
        await until(lambda: len(one.ledger.called("Check")) >= 3)
        go.set()
        answer = await sending
        assert (answer.receipt.outcome_index, len(one.kept)) == (1, 1)


@pytest.mark.parametrize(("name", "reason"), [(SENDER, "SERVICE_SUSPENDED"), (RECIPIENT, "RECIPIENT_NOT_PERMITTED")])
async def test_a_suspension_cuts_a_transfer(tmp_path: Path, recipient: StandIn, name: str, reason: str) -> None:
    async def suspend(one: Platform) -> None:
        one.change(name, status=Status.SUSPENDED)

    async with platform(tmp_path, recipient) as one:
        seen = await stalled(one, suspend)
        assert (seen.code, seen.reasons) == (Code.PERMISSION_DENIED, [reason])
        assert (ended(one), recipient.seen.get("commit")) == ([FAILED], None)


async def test_the_broker_s_own_end_cuts_a_transfer_and_has_it_recorded(tmp_path: Path, recipient: StandIn) -> None:
    async with platform(tmp_path, recipient) as one:
        sending = asyncio.create_task(failure(one.send(one.bundle(big_document(BIG)), seconds=1)))
        await until(lambda: recipient.seen.get("chunk"))
        await sending
        await one.stop()
        assert ended(one) == [FAILED]
        assert recipient.seen.get("commit") is None


@pytest.mark.parametrize(
    ("denial", "status", "reason", "code"),
    [
        (Reason.CONSENT_REVOKED, None, "CONSENT_REVOKED", Code.PERMISSION_DENIED),
        (None, Code.UNAVAILABLE, "LEDGER_UNAVAILABLE", Code.UNAVAILABLE),
    ],
)
async def test_threat_20_no_commit_follows_a_recheck_that_does_not_permit(
    tmp_path: Path, denial: Reason | None, status: Code | None, reason: str, code: Code
) -> None:
    async with platform(tmp_path) as one:
        one.ledger.check_denial = denial
        one.ledger.failing |= {"Check": status} if status else {}
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.code, seen.reasons) == (code, [reason])
        await until(lambda: one.received() == [])
        assert (ended(one), one.ledger.outcomes[0].bytes_sent) == ([FAILED], len(document()))


@pytest.mark.parametrize(
    "changes",
    [
        {"recipient": "services/another"},
        {"sender": "services/another"},
        {"exchange": "0" * 64},
        {"leaf": "0" * 64},
        {"index": 7},
        {"origin": "mes.example/ledger/2/0"},
        {"subject": "0" * 64},
        {"issuer": "other.example"},
    ],
)
async def test_threat_21_nothing_is_sent_under_a_permit_of_something_else(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    recipient = StandIn(reads_one_chunk)
    async with platform(tmp_path, recipient) as one:
        one.ledger.permit_changes = changes
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.code, seen.reasons) == (Code.UNAVAILABLE, ["LEDGER_UNAVAILABLE"])
        assert (ended(one), recipient.seen) == ([FAILED], {})


async def test_a_recipient_without_endpoint_or_listener_is_unreachable(tmp_path: Path) -> None:
    async with platform(tmp_path, None) as one:
        for endpoint in ("127.0.0.1:1", ""):
            one.change(RECIPIENT, endpoint=endpoint)
            bundle = one.bundle(document())
            await until(lambda: _pinned(one))
            seen = await failure(one.send(bundle))
            again = await failure(one.send(bundle))
            assert (seen.code, seen.reasons) == (Code.UNAVAILABLE, ["RECIPIENT_UNREACHABLE"])
            assert again.reasons == seen.reasons
        assert ended(one) == [FAILED, FAILED]
        assert [outcome.bytes_sent for outcome in one.ledger.outcomes] == [0, 0]


async def refuses_at_once(self: StandIn, frames: Any, context: Any) -> Any:
    await context.abort(Code.FAILED_PRECONDITION, SECRET)


async def dies_at_once(self: StandIn, frames: Any, context: Any) -> Any:
    await anext(frames)
    await context.abort(Code.UNAVAILABLE, SECRET)


async def dies_after_commit(self: StandIn, frames: Any, context: Any) -> Any:
    async for _ in frames:
        pass
    await context.abort(Code.UNAVAILABLE, SECRET)


async def refuses_after_commit(self: StandIn, frames: Any, context: Any) -> Any:
    async for _ in frames:
        pass
    await context.abort(Code.FAILED_PRECONDITION, SECRET)


@pytest.mark.parametrize(
    ("behaviour", "code", "reason", "outcome"),
    [
        (refuses_at_once, Code.FAILED_PRECONDITION, "RECIPIENT_REFUSED", FAILED),
        (dies_at_once, Code.UNAVAILABLE, "RECIPIENT_UNREACHABLE", FAILED),
        (dies_after_commit, Code.UNAVAILABLE, "RECIPIENT_UNREACHABLE", UNKNOWN),
        (refuses_after_commit, Code.FAILED_PRECONDITION, "RECIPIENT_REFUSED", UNKNOWN),
    ],
)
async def test_threat_29_whatever_a_recipient_does_there_is_an_outcome_and_its_words_stay_with_us(
    tmp_path: Path, behaviour: Any, code: Code, reason: str, outcome: int
) -> None:
    # Big where the recipient must be heard before the commit is written.
    data = big_document(BIG) if outcome == FAILED else document()
    async with platform(tmp_path, StandIn(behaviour)) as one:
        seen = await failure(one.send(one.bundle(data)))
        assert (seen.code, seen.reasons) == (code, [reason])
        assert SECRET not in seen.message
        assert ended(one) == [outcome]


async def test_an_unknown_end_that_the_ledger_has_swept_already_is_taken_for_the_same(tmp_path: Path) -> None:
    async with platform(tmp_path, StandIn(dies_after_commit)) as one:

        async def sweep(context: Any) -> None:
            if len(ended(one)) == 1:
                one.ledger.sweep(0, one.ledger.outcomes[0].exchange)

        one.ledger.before["RecordOutcome"] = sweep
        bundle = one.bundle(document())
        seen = await failure(one.send(bundle))
        assert (seen.reasons, ended(one), len(one.ledger.log.entries)) == (["RECIPIENT_UNREACHABLE"], [UNKNOWN], 2)
        assert (await failure(one.send(bundle))).reasons == seen.reasons


@pytest.mark.parametrize("lying", ["nothing", "permit", "other_documents", "other_exchange", "other_key"])
async def test_threat_28_an_acknowledgement_of_something_else_is_disputed(tmp_path: Path, lying: str) -> None:
    async def lies(self: StandIn, frames: Any, context: Any) -> Any:
        header = (await anext(frames)).header
        async for _ in frames:
            pass
        return delivery_pb.DeliverResponse(acknowledgement=_acknowledgement(platforms[0], header, lying))

    platforms: list[Platform] = []
    async with platform(tmp_path, StandIn(lies)) as one:
        platforms.append(one)
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.code, seen.reasons) == (Code.DATA_LOSS, ["ACKNOWLEDGEMENT_INVALID"])
        assert ended(one) == [DISPUTED]


async def test_threat_31_a_ledger_restored_since_is_caught_by_its_next_entry_and_stays_caught(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        for _ in range(2):
            await one.send(one.bundle(document()))
        one.ledger.log.truncate(2)
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.code, seen.reasons, len(one.kept)) == (Code.UNAVAILABLE, ["LEDGER_ROLLED_BACK"], 2)
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.reasons, len(one.kept)) == (["LEDGER_ROLLED_BACK"], 2)


async def test_threat_31_a_ledger_restored_and_grown_again_is_caught_at_the_next_start(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.send(one.bundle(document()))
        await one.stop()
        one.ledger.log.truncate(1)
        for _ in range(3):
            one.ledger.log.append(b"{}", b"", b"")
        starting = asyncio.create_task(one.start())
        await until(lambda: one.process is not None and one.process.rpc_port)
        await until(lambda: one.ledger.called("GetConsistencyProof"))
        await until(lambda: _rolled_back(one))
        assert len(one.kept) == 1
        starting.cancel()


async def _rolled_back(one: Platform) -> bool:
    seen = await failure(one.send(one.bundle(document())))
    return seen.reasons == ["LEDGER_ROLLED_BACK"]


async def _pinned(one: Platform) -> bool:
    """Whether the broker has heard of the register's present snapshot."""
    return bool(one.lease.asked) and one.lease.asked[-1].known_sequence == one.lease.sequence


def _acknowledgement(one: Platform, header: delivery_pb.DeliveryHeader, lying: str) -> str:
    manifest = open_broker_manifest(header.manifest, one.trust.key_of(KeyRole.BROKER))
    documents = tuple(item.sha256 for item in manifest.documents)
    said = Acknowledgement(
        f"services/{RECIPIENT}", "mes.example", 1, manifest.exchange, sha256_hex(header.manifest), documents
    )
    return {
        "nothing": "",
        "permit": header.permit,
        "other_documents": replace(said, documents=("0" * 64,)).sign(one.keys[RECIPIENT]),
        "other_exchange": replace(said, exchange="0" * 64).sign(one.keys[RECIPIENT]),
        "other_key": said.sign(one.keys[SENDER]),
    }[lying]

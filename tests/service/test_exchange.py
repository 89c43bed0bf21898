"""The broker as its senders and recipients meet it: over real mutual TLS, on a simulated ledger and registry."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import grpc
import pytest
from accord.exchange.v1 import exchange_pb2

from services.errors import Reason
from services.formats.lease import Status
from services.formats.verify import verify
from tests.support.exchanges import (
    RECIPIENT,
    SENDER,
    Bundle,
    Platform,
    Request,
    document,
    platform,
    refused,
    until,
)
from tests.support.register import signer
from tests.support.running import failure

Code = grpc.StatusCode
UNAVAILABLE, INVALID, DENIED = Code.UNAVAILABLE, Code.INVALID_ARGUMENT, Code.PERMISSION_DENIED


async def test_a_bundle_is_delivered_and_its_evidence_verifies_with_trust_alone(tmp_path: Path) -> None:
    documents = [document("depistage-auditif"), document("synthese-medicale"), document("compte-rendu-biologie")]
    async with platform(tmp_path) as one:
        bundle = one.bundle(*documents)
        answer = await one.send(bundle)
        case = verify(answer.evidence, one.trust)
        query = one.ledger.called("Authorize")[0].query
        assert one.received() == [documents]
        assert case.manifest.documents == case.broker_manifest.documents
        assert list(query.categories) == ["type:11502-2", "type:60591-5", "type:75492-9"]
        assert [status.document_class for status in answer.receipt.documents] == ["10", "11", "10"]
        assert (answer.receipt.authorization_index, answer.receipt.outcome_index) == (0, 1)
        assert one.ledger.outcomes[0].bytes_sent == sum(map(len, documents))
        assert one.spooled() == []


async def test_the_ledger_hears_the_ins_of_each_document(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.send(one.bundle(document("depistage-auditif"), document("prescription")))
        patients = one.ledger.called("Authorize")[0].document_patients
    assert [(ins.root, len(ins.matricule)) for ins in patients] == [("1.2.250.1.213.1.4.10", 15)] * 2


async def test_threat_17_a_delivered_manifest_gets_the_same_answer_and_is_not_sent_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        first = await one.send(bundle)
        again = await one.send(Bundle(bundle.token, bundle.frames[:1]))
        assert again == first
        assert (len(one.kept), len(one.ledger.called("Authorize"))) == (1, 1)
        await one.stop()
        await one.start()
        assert await one.send(bundle) == first


async def test_threat_18_a_request_id_with_another_manifest_is_refused_and_recorded(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.send(one.bundle(document(), jti="A" * 22))
        seen = await failure(one.send(one.bundle(document("prescription"), jti="A" * 22)))
        assert (seen.code, seen.reasons) == (Code.ALREADY_EXISTS, ["REQUEST_ID_REUSED"])
        assert (one.ledger.refusals, len(one.kept)) == (["REQUEST_ID_REUSED"], 1)


async def test_a_manifest_that_is_under_way_is_not_taken_twice(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        entered, go = asyncio.Event(), asyncio.Event()

        async def hold(context: Any) -> None:
            entered.set()
            await go.wait()

        one.ledger.before["Authorize"] = hold
        bundle = one.bundle(document())
        first = asyncio.create_task(one.send(bundle))
        await entered.wait()
        seen = await failure(one.send(bundle))
        assert (seen.code, seen.reasons, seen.retry_s) == (Code.ABORTED, ["EXCHANGE_IN_PROGRESS"], 1.0)
        go.set()
        await first
        assert len(one.kept) == 1


async def test_a_denial_is_told_with_its_reason_and_told_again_without_asking(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        one.ledger.denial = Reason.CONSENT_MISSING
        bundle = one.bundle(document())
        assert await refused(one, bundle) == (DENIED, ["CONSENT_MISSING"])
        one.ledger.denial = None
        assert await refused(one, bundle) == (DENIED, ["CONSENT_MISSING"])
        assert (len(one.ledger.called("Authorize")), one.ledger.refusals, one.ledger.outcomes) == (1, [], [])


async def test_a_suspended_sender_s_valid_manifest_reaches_the_decision(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        one.change(SENDER, status=Status.SUSPENDED)
        one.ledger.denial = Reason.SERVICE_SUSPENDED
        assert await refused(one, one.bundle(document())) == (DENIED, ["SERVICE_SUSPENDED"])
        assert len(one.ledger.called("Authorize")) == 1


async def test_threat_22_a_service_cannot_send_in_another_s_name(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        seen = await refused(one, one.bundle(document()), who=f"/service/{RECIPIENT}")
        assert seen == (DENIED, ["RPC_NOT_ALLOWED"])
        assert one.ledger.called("RecordRefusal") == []


async def test_a_manifest_that_nobody_known_signed_is_unauthenticated_and_leaves_no_entry(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        stranger = one.bundle(document(), key=signer())
        bent = one.bundle(document())
        bent.frames[0] = Request(manifest=bent.token[:-2] + ("AA" if not bent.token.endswith("AA") else "BA"))
        for bundle in (stranger, bent):
            assert await refused(one, bundle) == (Code.UNAUTHENTICATED, ["SIGNATURE_INVALID"])
        assert one.ledger.called("RecordRefusal") == []


@pytest.mark.parametrize(
    "changes", [{"audience": "other.example"}, {"recipient": f"services/{SENDER}"}, {"patient": "not-a-pseudonym"}]
)
async def test_a_signed_manifest_that_is_not_in_form_is_invalid(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with platform(tmp_path) as one:
        assert await refused(one, one.bundle(document(), **changes)) == (INVALID, ["MANIFEST_INVALID"])


async def test_a_first_frame_that_is_no_manifest_is_malformed(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        assert await refused(one, Bundle("", bundle.frames[1:])) == (INVALID, ["MESSAGE_MALFORMED"])
        assert await refused(one, Bundle("", [Request(manifest="nothing")])) == (INVALID, ["MANIFEST_INVALID"])


async def test_threat_30_without_the_ledger_nothing_is_sent_and_the_manifest_may_come_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        one.ledger.failing["Authorize"] = UNAVAILABLE
        assert await refused(one, bundle) == (UNAVAILABLE, ["LEDGER_UNAVAILABLE"])
        del one.ledger.failing["Authorize"]
        await one.send(bundle)
        assert len(one.kept) == 1


async def test_threat_30_a_refusal_that_cannot_be_recorded_is_not_told(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document(), documents=(one.declared(document(), authors=()),))
        one.ledger.failing["RecordRefusal"] = UNAVAILABLE
        assert await refused(one, bundle) == (UNAVAILABLE, ["LEDGER_UNAVAILABLE"])
        del one.ledger.failing["RecordRefusal"]
        assert await refused(one, bundle) == (INVALID, ["AUTHOR_MISMATCH"])


async def test_threat_30_a_spool_that_takes_no_byte_is_unavailable(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        spool = tmp_path / "spool"
        spool.rmdir()
        spool.write_bytes(b"")
        seen = await failure(one.send(one.bundle(document())))
        assert (seen.code, seen.reasons) == (UNAVAILABLE, ["STORAGE_UNAVAILABLE"])
        assert (one.kept, one.ledger.refusals) == ([], ["STORAGE_UNAVAILABLE"])
        spool.unlink()
        spool.mkdir()


async def test_an_outcome_that_the_ledger_did_not_take_at_once_is_told_again_until_it_does(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        one.ledger.failing["RecordOutcome"] = UNAVAILABLE
        sending = asyncio.create_task(one.send(one.bundle(document())))
        await until(lambda: len(one.ledger.outcomes) > 2)
        assert not sending.done()
        del one.ledger.failing["RecordOutcome"]
        verify((await sending).evidence, one.trust)
        assert len(one.kept) == 1


async def test_a_sender_that_goes_away_gets_the_answer_when_it_comes_back(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        entered, go = asyncio.Event(), asyncio.Event()

        async def hold(context: Any) -> None:
            entered.set()
            await go.wait()

        one.ledger.before["Check"] = hold
        bundle = one.bundle(document())
        async with one.client() as stub:
            call = stub.SendBundle(iter(bundle.frames), timeout=30)
            await entered.wait()
            call.cancel()
        go.set()
        await until(lambda: [outcome.outcome for outcome in one.ledger.outcomes] == [1])
        await until(lambda: not one.spooled())
        answer = await _again(one, bundle)
        verify(answer.evidence, one.trust)
        assert len(one.kept) == 1


async def test_a_sender_that_goes_away_while_it_sends_leaves_nothing(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())

        async def half() -> Any:
            yield bundle.frames[0]
            yield Request(chunk=exchange_pb2.Chunk(document=0, data=document()[:100]))
            await asyncio.Event().wait()

        async with one.client() as stub:
            call = stub.SendBundle(half(), timeout=30)
            await until(one.spooled)
            call.cancel()
            await until(lambda: not one.spooled())
        await _again(one, bundle)
        assert (one.ledger.refusals, len(one.kept)) == ([], 1)


async def test_a_sender_that_is_unknown_to_the_register_is_unauthenticated(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document(), sender="services/nobody")
        seen = await refused(one, bundle, who="/service/nobody")
        assert seen == (Code.UNAUTHENTICATED, ["SIGNATURE_INVALID"])


async def test_without_a_fresh_lease_nothing_is_taken(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.stop()
        one.lease.failure = UNAVAILABLE
        starting = asyncio.create_task(one.start())
        await until(lambda: one.process is not None and one.process.rpc_port)
        assert await refused(one, one.bundle(document())) == (UNAVAILABLE, ["REGISTRY_STALE"])
        one.lease.failure = None
        await starting


async def _stopped_before_its_outcome(one: Platform) -> Bundle:
    """A bundle that the recipient acknowledged, and a broker that ended before the ledger took the outcome."""
    one.ledger.failing["RecordOutcome"] = UNAVAILABLE
    bundle = one.bundle(document())
    sending = asyncio.create_task(failure(one.send(bundle)))
    await until(lambda: one.ledger.outcomes)
    await one.stop()
    await sending
    assert _state(one.folder) == "SENDING"
    del one.ledger.failing["RecordOutcome"]
    return bundle


async def test_a_bundle_acknowledged_before_the_process_died_is_answered_by_the_next(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = await _stopped_before_its_outcome(one)
        await one.start()
        await until(lambda: _state(tmp_path) == "DELIVERED")
        answer = await one.send(bundle)
        verify(answer.evidence, one.trust)
        assert [status.document_class for status in answer.receipt.documents] == ["10"]
        assert (one.ledger.outcomes[-1].bytes_sent, len(one.ledger.log.entries)) == (len(document()), 2)
        assert (len(one.kept), len(one.ledger.called("Authorize"))) == (1, 1)


async def test_an_outcome_that_the_ledger_took_before_the_process_died_is_the_one_answered(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        with sqlite3.connect(tmp_path / "exchange.db", isolation_level=None) as database:
            database.execute(
                "CREATE TRIGGER no BEFORE UPDATE ON exchange WHEN NEW.state = 'DELIVERED' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
            sending = asyncio.create_task(failure(one.send(bundle)))
            await until(lambda: len(one.ledger.log.entries) == 2)
            await one.stop()
            await sending
            database.execute("DROP TRIGGER no")
        await one.start()
        await until(lambda: _state(tmp_path) == "DELIVERED")
        verify((await one.send(bundle)).evidence, one.trust)
        assert (len(one.ledger.log.entries), len(one.kept)) == (2, 1)


async def test_what_was_being_sent_when_the_process_died_ends_unknown_and_is_not_sent_again(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = await _stopped_before_its_outcome(one)
        with sqlite3.connect(tmp_path / "exchange.db") as database:
            database.execute("UPDATE exchange SET ended = NULL")
        await one.start()
        await until(lambda: one.ledger.outcomes[-1].outcome == 4)
        await until(lambda: _state(tmp_path) == "REFUSED")
        seen = await failure(one.send(bundle))
        assert (seen.code, seen.reasons, len(one.kept)) == (UNAVAILABLE, ["RECIPIENT_UNREACHABLE"], 1)


async def test_a_claim_of_an_earlier_life_and_its_spooled_bytes_are_forgotten_at_start(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        bundle = one.bundle(document())
        one.ledger.failing["Authorize"] = UNAVAILABLE
        await failure(one.send(bundle))
        await one.stop()
        (tmp_path / "spool" / "left").mkdir()
        (tmp_path / "spool" / "left" / "0").write_bytes(b"a document")
        await one.start()
        assert one.spooled() == []


async def test_health_tells_when_the_ledger_is_not_followed(tmp_path: Path) -> None:
    async with platform(tmp_path) as one:
        await one.stop()
        one.lease.asked.clear()
        one.ledger.failing["GetCheckpoints"] = UNAVAILABLE
        starting = asyncio.create_task(one.start())
        await until(lambda: one.process is not None and one.process.rpc_port)
        # The second request says that the first one's lease was taken.
        await until(lambda: len(one.lease.asked) > 1)
        assert await refused(one, one.bundle(document())) == (UNAVAILABLE, ["LEDGER_UNAVAILABLE"])
        assert not starting.done()
        del one.ledger.failing["GetCheckpoints"]
        await starting


async def _again(one: Platform, bundle: Bundle) -> Any:
    """The answer of a manifest sent again, once it is no longer under way."""
    while True:
        try:
            return await one.send(bundle)
        except grpc.aio.AioRpcError as error:
            if error.code() is not Code.ABORTED:
                raise
            await asyncio.sleep(0.05)


def _state(folder: Path) -> str:
    with sqlite3.connect(folder / "exchange.db") as database:
        state: str = database.execute("SELECT state FROM exchange").fetchone()[0]
        return state

"""Who accessed a patient's data, or tried to, as the patient reads it: on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from accord.consent.v1 import consent_pb2, decision_service_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader
from accord.registry.v1 import registry_pb2

from services.consent import accesses as gathering
from services.consent.convert.form import timestamp
from services.consent.domain import commands as c
from services.errors import AccordError, Reason
from services.formats.entry import EntryType, OutcomeResult
from services.formats.rights import Purpose
from tests.support.accesses import HELD, Desk, deliver, reason_of
from tests.support.ledgers import DAY_MS, NOW_MS, RECIPIENT, SENDER, Bench, outcome, query

REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE


@pytest.fixture
async def desk(bench: Bench) -> AsyncIterator[Desk]:
    made = Desk(bench)
    yield made
    await made.close()


async def test_accesses_attempts_and_refusals_are_listed_in_log_order_with_what_was_asked(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    exchange = await deliver(desk, query(patient))
    denied, _ = await desk.authorize(query(patient, purpose=Purpose.CARE, categories=frozenset({"class:95"})))
    refused = await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    first, second, third = await desk.listed(patient)
    (granted,) = [item for item in desk.bench.entries() if item.exchange == exchange and item.until_ms]
    assert first == reader.Access(
        time=timestamp(NOW_MS),
        service=SENDER,
        counterparty=RECIPIENT,
        purpose=registry_pb2.PURPOSE_CARE,
        categories=["class:10"],
        authorized=True,
        outcome=decision_service_pb2.OUTCOME_DELIVERED,
        resources=granted.resources,
        exchange=exchange,
    )
    assert (second.exchange, second.authorized, reason_of(second)) == (denied, False, "CONVENTION_EXCEEDED")
    assert list(second.categories) == ["class:95"]
    assert (third.exchange, reason_of(third), third.counterparty) == (refused, "DOCUMENT_MALFORMED", "")
    assert (third.purpose, list(third.categories)) == (registry_pb2.PURPOSE_UNSPECIFIED, [])


async def test_the_latest_outcome_is_shown_and_none_before_there_is_one(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    exchange, decided = await desk.authorize(query(patient))
    (pending,) = await desk.listed(patient)
    assert pending.outcome == decision_service_pb2.OUTCOME_UNSPECIFIED
    for result in (OutcomeResult.UNKNOWN, OutcomeResult.FAILED):
        await desk.bench.ledger.record_outcome(outcome(decided, exchange, result=result))
    (settled,) = await desk.listed(patient)
    assert settled.outcome == decision_service_pb2.OUTCOME_FAILED


async def test_a_patient_sees_their_own_accesses_alone(desk: Desk) -> None:
    """What names nobody, and what names somebody else, is nobody's here."""
    patient, other = await desk.bench.consenting(1), await desk.bench.consenting(2)
    own = await deliver(desk, query(patient))
    await deliver(desk, query(other))
    await desk.authorize(query(None))
    await desk.refuse("services/autre", patient, Reason.DOCUMENT_MALFORMED)
    assert [item.exchange for item in await desk.listed(patient)] == [own]


async def test_a_service_is_found_on_either_side(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    there = await deliver(desk, query(patient))
    back = await deliver(desk, query(patient, service=RECIPIENT, counterparty=SENDER))
    refused = await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    assert [item.exchange for item in await desk.listed(patient, service=RECIPIENT)] == [there, back]
    assert [item.exchange for item in await desk.listed(patient, service=SENDER)] == [there, back, refused]


async def test_a_period_holds_its_start_and_not_its_end(desk: Desk) -> None:
    patient, clock = await desk.bench.consenting(), desk.bench.clock
    exchanges = []
    for _ in range(4):
        exchanges.append(await deliver(desk, query(patient)))
        clock.now_ms += 1000
    period = {"start_time": timestamp(NOW_MS + 1000), "end_time": timestamp(NOW_MS + 3000)}
    assert [item.exchange for item in await desk.listed(patient, **period)] == exchanges[1:3]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"start_time": timestamp(NOW_MS)}, "end_time"),
        ({"end_time": timestamp(NOW_MS)}, "start_time"),
        ({"start_time": timestamp(NOW_MS), "end_time": timestamp(NOW_MS)}, "end_time"),
        ({"page_size": 101}, "page_size"),
        ({"page_size": -1}, "page_size"),
        ({"service": "lumen"}, "service"),
        ({"page_token": "x"}, "page_token"),
        ({"viewer": 9}, "viewer"),
    ],
)
async def test_an_invalid_question_is_refused_by_its_field(desk: Desk, fields: dict[str, Any], field: str) -> None:
    patient = await desk.bench.patient()
    with pytest.raises(AccordError) as refused:
        await desk.page(patient, **fields)
    assert [item.field for item in refused.value.violations] == [field]


async def test_pages_are_full_and_together_the_whole_list(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though many accesses bear one instant, and more than fit one trip to the reading thread."""
    monkeypatch.setattr(gathering, "CHUNK", 3)
    patient = await desk.bench.consenting()
    for number in range(11):
        await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
        desk.bench.clock.now_ms += number // 8
    whole = await desk.listed(patient)
    assert len(whole) == 11
    for size in (1, 2, 4, 11):
        pages = await desk.pages(patient, page_size=size)
        assert [access for page in pages for access in page.accesses] == whole
        assert all(len(page.accesses) == size for page in pages[:-1])
        assert len(pages) == -(-11 // size)


async def test_a_token_goes_on_in_its_own_list_alone(desk: Desk) -> None:
    patient, other = await desk.bench.consenting(1), await desk.bench.consenting(2)
    for _ in range(3):
        await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    token = (await desk.page(patient, page_size=1)).next_page_token
    assert len((await desk.page(patient, page_token=token, page_size=50)).accesses) == 2
    for address, fields in ((other, {}), (patient, {"service": SENDER}), (patient, {"viewer": REPRESENTATIVE})):
        with pytest.raises(AccordError, match="page_token"):
            await desk.page(address, page_token=token, **fields)


async def test_what_was_recorded_before_the_call_is_there_without_any_indexer_running(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    for number in range(3):
        await deliver(desk, query(patient))
        assert len(await desk.listed(patient)) == number + 1


async def test_an_access_whose_opening_is_gone_has_neither_categories_nor_purpose(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    exchange = await deliver(desk, query(patient))
    desk.bench.clock.now_ms += 5 * 366 * DAY_MS
    await desk.bench.ledger.do(c.Retain(patient.shard, 2026, "ehds_9"))
    (access,) = await desk.listed(patient)
    assert (access.exchange, access.outcome) == (exchange, decision_service_pb2.OUTCOME_DELIVERED)
    assert (access.purpose, list(access.categories)) == (registry_pb2.PURPOSE_UNSPECIFIED, [])


async def test_an_erased_patient_has_no_list(desk: Desk) -> None:
    patient = await desk.bench.consenting()
    await deliver(desk, query(patient))
    await desk.bench.ledger.do(c.MoveProfile(patient, EntryType.PROFILE_CLOSED, HELD))
    assert len(await desk.listed(patient)) == 1
    await desk.bench.ledger.do(c.Erase(patient, "rgpd_17", False))
    with pytest.raises(AccordError, match="RESOURCE_NOT_FOUND"):
        await desk.page(patient)


async def test_an_unknown_profile_is_not_found(desk: Desk) -> None:
    with pytest.raises(AccordError, match="RESOURCE_NOT_FOUND"):
        await desk.page(c.Address(0, 4711))


async def test_accesses_of_any_shard_are_found(sharded: Bench) -> None:
    desk = Desk(sharded)
    shards = set()
    for number in range(1, 9):
        patient = await sharded.consenting(number)
        shards.add(patient.shard)
        exchange = await deliver(desk, query(patient))
        assert [item.exchange for item in await desk.listed(patient)] == [exchange]
    await desk.close()
    assert len(shards) > 1

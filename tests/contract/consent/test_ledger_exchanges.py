"""Authorisations and denials: each is one entry that opens to what was decided, and none follows a withdrawal."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.consent.domain import commands as c
from services.consent.domain.decision import Deny, Permit
from services.ctl.logbook import forwards_after_revoke
from services.errors import Reason
from services.formats.entry import EntryType
from services.formats.rights import Direction, Purpose, Scope
from services.tlog.tree import leaf_hash
from tests.contract.consent.behind import value
from tests.support.ledgers import (
    DAY_MS,
    EVERYTHING,
    NOW_MS,
    RECIPIENT,
    SENDER,
    Bench,
    convention,
    ins,
    query,
    record,
)
from tests.support.refused import reason_of


async def test_an_authorisation_is_one_entry_on_two_consents(bench: Bench) -> None:
    address = await bench.consenting()
    exchange = bench.exchange()
    decision = await bench.ledger.authorize(c.Authorize(query(address), exchange, (ins(1),), "t" * 43))
    entry = bench.entries()[-1]
    assert decision.permit == Permit(entry.resources, NOW_MS // 1000 + 5)
    assert decision.told is None
    assert decision.now_s == NOW_MS // 1000
    assert decision.appended.origin == bench.logs[0].origin
    assert decision.appended.index == len(bench.entries()) - 1
    assert decision.appended.leaf == leaf_hash(entry.to_bytes())
    assert (entry.type, entry.basis, entry.actor) == (EntryType.EXCHANGE_AUTHORIZED, "consent", "broker")
    assert (entry.service, entry.counterparty, entry.exchange) == (SENDER, RECIPIENT, exchange)
    assert entry.until_ms == (NOW_MS // 1000 + 5) * 1000
    assert len(entry.resources) == 2


async def test_its_opening_holds_the_question_and_every_fact_it_was_decided_on(bench: Bench) -> None:
    address = await bench.consenting()
    decision = await bench.authorize(query(address), ins(1))
    body = bench.opened(decision.appended.index)
    assert body["query"] == {
        "categories": ["class:10"],
        "counterparty": RECIPIENT,
        "direction": "DEPOSIT",
        "purpose": "CARE",
        "service": SENDER,
    }
    assert set(body) == {"facts", "query"}, "evidence discloses bodies: no other consent stands in one"
    facts = bench.rested_on(decision.appended.index)
    assert (facts["profile"], facts["documents_match"]) == ("ACTIVE", [True])
    assert [(party["service"], party["direction"], party["paired"]) for party in facts["parties"]] == [
        (SENDER, "DEPOSIT", True),
        (RECIPIENT, "READ", True),
    ]
    revisions = tuple(party["consents"][0]["revision"] for party in facts["parties"])
    assert revisions == bench.entries()[-1].resources
    assert facts["parties"][0]["consents"][0]["state"] == "ACTIVE"


async def test_a_denial_is_one_entry_with_its_reason_and_its_facts(bench: Bench) -> None:
    address = await bench.patient()
    decision = await bench.authorize(query(address), ins(1))
    entry = bench.entries()[-1]
    assert (decision.permit, decision.told) == (None, Reason.CONSENT_MISSING)
    assert (entry.type, entry.reason, entry.until_ms) == (EntryType.EXCHANGE_DENIED, Reason.CONSENT_MISSING, None)
    assert bench.rested_on(decision.appended.index)["parties"][0]["consents"] == []


async def test_what_is_recorded_of_the_recipient_is_not_told_to_the_sender(bench: Bench) -> None:
    address = await bench.patient()
    await bench.grant(address, SENDER)
    decision = await bench.authorize(query(address))
    assert decision.told is Reason.RECIPIENT_NOT_PERMITTED
    assert bench.entries()[-1].reason is Reason.CONSENT_MISSING


@pytest.mark.parametrize("service", [SENDER, RECIPIENT])
async def test_after_either_withdrawal_nothing_is_authorised(bench: Bench, service: str) -> None:
    address = await bench.patient()
    granted = {name: await bench.grant(address, name) for name in (SENDER, RECIPIENT)}
    assert (await bench.authorize(query(address))).permit is not None
    await bench.revoke(granted[service])
    decision = await bench.authorize(query(address))
    assert decision.permit is None
    assert decision.told is (Reason.CONSENT_REVOKED if service == SENDER else Reason.RECIPIENT_NOT_PERMITTED)
    assert bench.entries()[-1].reason is Reason.CONSENT_REVOKED
    assert bench.entries()[-1].resources == (bench.identifiers.revision_name(0, granted[service].consent, 2),)
    assert forwards_after_revoke(bench.entries()) == []


async def test_within_one_batch_each_item_sees_those_before_it(bench: Bench) -> None:
    """Authorise, revoke, authorise, grant, authorise: submitted together, decided in this order."""
    address = await bench.consenting()
    granted = bench.find_consent(0, await _consent_of(bench, SENDER))
    assert granted is not None
    results = await asyncio.gather(
        bench.authorize(query(address)),
        bench.revoke(granted),
        bench.authorize(query(address)),
        bench.grant(address, SENDER),
        bench.authorize(query(address)),
    )
    told = [item.told for item in results if isinstance(item, c.Decision)]
    assert told == [None, Reason.CONSENT_REVOKED, None]
    assert len({entry.time_ms for entry in bench.entries()[-5:]}) == 1


async def _consent_of(bench: Bench, service: str) -> int:
    found: int = value(bench, "SELECT id FROM consent WHERE service = :service", service=service)
    return found


async def test_an_unknown_patient_is_denied_in_the_service_s_shard_and_learns_what_a_stranger_learns(
    sharded: Bench,
) -> None:
    address = await sharded.open_profile(c.OpenProfile(ins(1)))
    unknown = await sharded.authorize(query(None))
    unpaired = await sharded.authorize(query(address))
    elsewhere = await sharded.authorize(query(c.Address(77, 1)))
    assert {unknown.told, unpaired.told, elsewhere.told} == {Reason.NOT_PERMITTED}
    assert unknown.appended.origin == elsewhere.appended.origin
    shard = int(unknown.appended.origin.rpartition("/")[2])
    entry = sharded.entries(shard)[unknown.appended.index]
    assert (entry.reason, entry.subject, entry.service) == (Reason.NOT_PERMITTED, "", SENDER)
    assert sharded.rested_on(unknown.appended.index, shard)["profile"] == ""


async def test_a_stranger_s_attempt_at_a_real_patient_is_not_under_that_patient_s_key(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    decision = await bench.authorize(query(address))
    assert value(bench, "SELECT patient FROM opening WHERE idx = :idx", idx=decision.appended.index) == 0


async def test_every_attempt_is_an_entry_with_its_number(bench: Bench) -> None:
    """The number counts earlier authorisations, in one batch as in several."""
    address = await bench.consenting()
    item = c.Authorize(query(address), "e" * 64, (), "t" * 43)
    denied = replace(item, query=query(address, categories=frozenset({"class:60"})))
    await asyncio.gather(*(bench.ledger.authorize(one) for one in (denied, item, denied, item)))
    for one in (item, denied, item):
        await bench.ledger.authorize(one)
    attempts = [(entry.type.value, entry.attempt) for entry in bench.entries()[-7:]]
    together = [("exchange.denied", 1), ("exchange.authorized", 1), ("exchange.denied", 2), ("exchange.authorized", 2)]
    alone = [("exchange.authorized", 3), ("exchange.denied", 4), ("exchange.authorized", 4)]
    assert attempts == together + alone


async def test_a_document_of_another_patient_denies_and_the_log_does_not_say_whose(bench: Bench) -> None:
    address = await bench.consenting()
    decision = await bench.authorize(query(address), ins(1), ins(2))
    assert decision.told is Reason.PATIENT_MISMATCH
    assert bench.rested_on(decision.appended.index)["documents_match"] == [True, False]
    assert ins(2).matricule not in str(bench.opened(decision.appended.index))


async def test_documents_of_an_unknown_patient_match_nobody(bench: Bench) -> None:
    decision = await bench.authorize(query(None), ins(1))
    assert decision.told is Reason.NOT_PERMITTED
    assert bench.rested_on(decision.appended.index)["documents_match"] == [False]


async def test_documents_with_an_ins_need_the_recipient_s_convention(bench: Bench) -> None:
    address = await bench.consenting()
    bench.view.set([record(SENDER), record(RECIPIENT, convention=convention(ins=False))])
    assert (await bench.authorize(query(address), ins(1))).told is Reason.INS_NOT_ALLOWED
    assert (await bench.authorize(query(address))).permit is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"categories": frozenset({"class:10", "class:60"})}, Reason.CONVENTION_EXCEEDED),
        ({"categories": frozenset({"class:11"})}, Reason.CATEGORY_NOT_GRANTED),
        ({"purpose": Purpose.PREVENTION}, Reason.PURPOSE_NOT_GRANTED),
        ({"direction": Direction.READ}, Reason.DIRECTION_NOT_GRANTED),
        ({"counterparty": "services/other"}, Reason.RECIPIENT_NOT_PERMITTED),
        ({"service": RECIPIENT, "counterparty": SENDER}, Reason.DIRECTION_NOT_GRANTED),
    ],
)
async def test_widening_a_granted_right_is_denied(bench: Bench, changes: dict[str, Any], told: Reason) -> None:
    address = await bench.patient()
    care = Scope(frozenset({"class:10"}), frozenset({Direction.DEPOSIT}), frozenset({Purpose.CARE}))
    await bench.grant(address, SENDER, care)
    await bench.grant(address, RECIPIENT, replace(care, directions=frozenset({Direction.READ})))
    assert (await bench.authorize(query(address))).permit is not None
    assert (await bench.authorize(query(address, **changes))).told is told


async def test_consents_are_valid_between_their_dates(bench: Bench) -> None:
    address = await bench.patient()
    await bench.grant(address, RECIPIENT, days=60)
    await bench.grant(address, SENDER, days=1, start_ms=NOW_MS + DAY_MS)
    told = []
    for at in (NOW_MS, NOW_MS + DAY_MS, NOW_MS + 2 * DAY_MS - 2000, NOW_MS + 2 * DAY_MS):
        bench.clock.now_ms = at
        told.append((await bench.authorize(query(address))).told)
    assert told == [Reason.CONSENT_NOT_YET_VALID, None, None, Reason.CONSENT_EXPIRED]


async def test_a_permit_ends_with_its_consent(bench: Bench) -> None:
    address = await bench.consenting()
    bench.clock.now_ms = NOW_MS + 30 * DAY_MS - 2000
    decision = await bench.authorize(query(address))
    assert decision.permit is not None
    assert decision.permit.until_s * 1000 <= NOW_MS + 30 * DAY_MS
    assert bench.entries()[-1].until_ms == decision.permit.until_s * 1000


async def test_advice_is_what_would_be_decided_and_no_entry(bench: Bench) -> None:
    address = await bench.patient()
    size = len(bench.entries())
    assert await bench.advice.check(c.Check(query(address))) == Deny(Reason.CONSENT_MISSING, Reason.CONSENT_MISSING)
    assert len(bench.entries()) == size
    await bench.grant(address, SENDER, EVERYTHING)
    await bench.grant(address, RECIPIENT, EVERYTHING)
    advice, unknown = await asyncio.gather(
        bench.advice.check(c.Check(query(address))), bench.advice.check(c.Check(query(None)))
    )
    assert advice == (await bench.authorize(query(address))).permit
    assert unknown == Deny(Reason.NOT_PERMITTED, Reason.NOT_PERMITTED)
    bench.view.snapshot = None
    assert await reason_of(bench.advice.check(c.Check(query(address)))) is Reason.REGISTRY_STALE


async def test_advice_for_an_authorisation_under_way_rests_on_its_own_consents_alone(bench: Bench) -> None:
    address = await bench.patient()
    pinned, _ = await bench.grant(address, SENDER), await bench.grant(address, RECIPIENT)
    decision = await bench.authorize(query(address), ins(1))
    assert decision.permit is not None
    under_way = c.Check(query(address), frozenset(decision.permit.resources))
    assert isinstance(await bench.advice.check(under_way), Permit)
    await bench.grant(address, SENDER)
    await bench.revoke(pinned)
    assert isinstance(await bench.advice.check(c.Check(query(address))), Permit)
    assert await bench.advice.check(under_way) == Deny(
        Reason.CONSENT_REVOKED, Reason.CONSENT_REVOKED, (decision.permit.resources[0].removesuffix("1") + "2",)
    )

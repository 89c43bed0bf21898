"""Profiles, pairings, grants and withdrawals: each recorded once, whatever is repeated, and only within the convention."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.consent import consents
from services.consent.consents import MAX_CONSENTS
from services.consent.domain import commands as c
from services.consent.domain.lifecycle import ConsentState
from services.errors import Reason
from services.formats.canonical import dumps
from services.formats.lease import Status
from services.formats.rights import Direction, Purpose, Scope
from services.nomenclature.ins import Ins
from tests.contract.consent.behind import everything
from tests.support.ledgers import (
    DAY_MS,
    EVERYTHING,
    NOTICE,
    NOW_MS,
    RECIPIENT,
    SENDER,
    Bench,
    convention,
    ins,
    query,
    record,
    revoking,
)
from tests.support.refused import reason_of

HOLDER = c.Actor("holder", "eidas2")


def grant_of(address: c.Address, **changes: Any) -> c.Grant:
    good = c.Grant(address, SENDER, EVERYTHING, None, NOW_MS + 30 * DAY_MS, NOTICE, HOLDER, "request-0", "digest")
    return replace(good, **changes)


async def test_a_profile_is_opened_once(bench: Bench) -> None:
    first = await bench.open_profile(c.OpenProfile(ins(1)))
    assert await bench.open_profile(c.OpenProfile(ins(1))) == first
    assert await bench.open_profile(c.OpenProfile(ins(2))) != first
    assert bench.kinds() == ["profile.opened"] * 2
    entry = bench.entries()[0]
    assert (entry.actor, entry.service, entry.exchange) == ("portal", "", "")
    assert len(entry.subject) == 64


async def test_no_identity_stands_in_log_or_plain_rows(bench: Bench) -> None:
    identity = Ins("1.2.250.1.213.1.4.8", "279035121518989")
    address = await bench.open_profile(c.OpenProfile(identity))
    await bench.ledger.do(c.Pair(address, SENDER))
    await bench.grant(address, SENDER)
    rows = [row for table in everything(bench).values() for row in table]
    text = b"".join(item if isinstance(item, bytes) else str(item).encode() for row in rows for item in row)
    assert len(rows) > 10
    assert identity.matricule.encode() not in text
    assert str(address.patient).encode() not in b"".join(
        entry.to_bytes() for entry in bench.entries()
    )  # nor does the log hold the internal id


async def test_a_patient_is_paired_once_with_each_service(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(1)))
    for service in (SENDER, RECIPIENT, SENDER):
        assert await bench.ledger.do(c.Pair(address, service)) == address
    paired = [entry for entry in bench.entries() if entry.type == "pairing.created"]
    assert [entry.service for entry in paired] == [SENDER, RECIPIENT]
    assert len({entry.subject for entry in bench.entries() if entry.subject}) == 3


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (Status.SUSPENDED, Reason.SERVICE_SUSPENDED),
        (Status.APPLIED, Reason.SERVICE_NOT_REFERENCED),
        (Status.REFERENCED_WITHOUT_EXCHANGE, Reason.SERVICE_NOT_REFERENCED),
        (None, Reason.SERVICE_NOT_REFERENCED),
    ],
)
async def test_only_a_service_referenced_with_exchange_is_paired_or_granted(
    bench: Bench, status: Status | None, reason: Reason
) -> None:
    address = await bench.patient()
    bench.view.set([record(RECIPIENT)] + ([record(SENDER, status)] if status else []))
    assert await reason_of(bench.ledger.do(c.Pair(address, SENDER))) is reason
    assert await reason_of(bench.ledger.do(grant_of(address))) is reason


async def test_nobody_can_be_paired_granted_or_revoked_who_is_not_there(bench: Bench) -> None:
    nobody = c.Address(0, 12345)
    assert await reason_of(bench.ledger.do(c.Pair(nobody, SENDER))) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(bench.ledger.do(grant_of(nobody))) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(bench.ledger.do(revoking(0, 12345, HOLDER))) is Reason.RESOURCE_NOT_FOUND
    elsewhere = c.Address(1, 12345)
    assert await reason_of(bench.ledger.do(c.Pair(elsewhere, SENDER))) is Reason.RESOURCE_NOT_FOUND
    assert await reason_of(bench.ledger.do(revoking(1, 12345, HOLDER))) is Reason.RESOURCE_NOT_FOUND
    assert bench.entries() == ()


async def test_a_grant_is_recorded_with_all_that_was_decided(bench: Bench) -> None:
    address = await bench.patient()
    scope = Scope(frozenset({"class:10"}), frozenset({Direction.DEPOSIT}), frozenset({Purpose.CARE}))
    granted = await bench.ledger.do(grant_of(address, scope=scope))
    assert (granted.state, granted.revision, granted.start_ms) == (ConsentState.ACTIVE, 1, NOW_MS)
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.service) == ("consent.granted", "holder", SENDER)
    assert entry.until_ms == granted.end_ms
    assert entry.resources == (bench.identifiers.revision_name(0, granted.consent, 1),)
    assert bench.opened(len(bench.entries()) - 1) == {
        "authentication": "eidas2",
        "start": "2026-11-23T14:15:28.123Z",
        "end": "2026-12-23T14:15:28.123Z",
        "notice_sha256": NOTICE,
        "scope": {"categories": ["class:10"], "directions": ["DEPOSIT"], "purposes": ["CARE"]},
    }
    assert bench.find_consent(0, granted.consent) == granted


async def test_the_same_request_again_answers_the_same_consent_even_without_a_lease(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.ledger.do(grant_of(address))
    size = len(bench.entries())
    assert await bench.ledger.do(grant_of(address)) == granted
    bench.view.snapshot = None
    assert await bench.ledger.do(grant_of(address)) == granted
    assert len(bench.entries()) == size


async def test_the_same_request_id_for_something_else_is_refused(bench: Bench) -> None:
    address = await bench.patient()
    await bench.ledger.do(grant_of(address))
    other = grant_of(address, digest="other")
    assert await reason_of(bench.ledger.do(other)) is Reason.REQUEST_ID_REUSED
    assert bench.kinds().count("consent.granted") == 1


async def test_request_ids_of_two_patients_do_not_meet(bench: Bench) -> None:
    one, two = await bench.patient(1), await bench.patient(2)
    first, second = await bench.ledger.do(grant_of(one)), await bench.ledger.do(grant_of(two, digest="other"))
    assert first.consent != second.consent


async def test_a_repeated_grant_answers_the_consent_as_it_stands_now(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.ledger.do(grant_of(address))
    revoked = await bench.revoke(granted)
    assert await bench.ledger.do(grant_of(address)) == revoked


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"service": "services/unpaired"}, Reason.STATE_CONFLICT),
        ({"service": "services/unknown"}, Reason.SERVICE_NOT_REFERENCED),
        ({"notice_sha256": "b" * 64}, Reason.STATE_CONFLICT),
        ({"end_ms": NOW_MS + 3650 * DAY_MS + 1}, Reason.CONVENTION_EXCEEDED),
        ({"start_ms": NOW_MS - 365 * DAY_MS - 1}, Reason.CONVENTION_EXCEEDED),
        ({"end_ms": NOW_MS}, Reason.STATE_CONFLICT),
        ({"end_ms": NOW_MS - 1}, Reason.STATE_CONFLICT),
        ({"start_ms": NOW_MS + 31 * DAY_MS}, Reason.STATE_CONFLICT),
        ({"scope": replace(EVERYTHING, categories=frozenset({"class:10", "class:60"}))}, Reason.CONVENTION_EXCEEDED),
    ],
)
async def test_a_grant_beyond_the_convention_is_refused_and_leaves_nothing(
    bench: Bench, changes: dict[str, Any], reason: Reason
) -> None:
    bench.view.set([record(SENDER), record(RECIPIENT), record("services/unpaired")])
    address = await bench.patient()
    size = len(bench.entries())
    assert await reason_of(bench.ledger.do(grant_of(address, **changes))) is reason
    assert len(bench.entries()) == size
    await bench.ledger.do(grant_of(address))  # the request id was not used up


async def test_a_consent_may_last_as_long_as_the_convention(bench: Bench) -> None:
    address = await bench.patient()
    whole = grant_of(address, start_ms=convention().start_ms, end_ms=convention().end_ms)
    granted = await bench.ledger.do(whole)
    assert (granted.start_ms, granted.end_ms) == (whole.start_ms, whole.end_ms)


@pytest.mark.parametrize("part", ["directions", "purposes"])
async def test_a_grant_beyond_the_convention_s_directions_or_purposes_is_refused(bench: Bench, part: str) -> None:
    address = await bench.patient()
    some: dict[str, Any] = {part: frozenset(list(getattr(EVERYTHING, part))[:1])}
    bench.view.set([record(SENDER, convention=convention(replace(EVERYTHING, **some))), record(RECIPIENT)])
    assert await reason_of(bench.ledger.do(grant_of(address))) is Reason.CONVENTION_EXCEEDED
    await bench.ledger.do(grant_of(address, scope=replace(EVERYTHING, **some)))


async def test_no_consent_is_given_under_a_convention_that_is_not_in_force(bench: Bench) -> None:
    address = await bench.patient()
    ended = replace(convention(), end_ms=NOW_MS)
    bench.view.set([record(SENDER, convention=ended), record(RECIPIENT)])
    assert await reason_of(bench.ledger.do(grant_of(address))) is Reason.CONVENTION_NOT_IN_FORCE


async def test_a_patient_gives_a_service_a_limited_number_of_consents(bench: Bench) -> None:
    """Ended ones included, for each decision records them all; and a full list is still withdrawn, repeated, decided on."""
    address = await bench.patient()
    granted = await asyncio.gather(*(bench.grant(address, SENDER) for _ in range(MAX_CONSENTS - 1)))
    last = grant_of(address)
    await bench.ledger.do(last)
    assert await reason_of(bench.grant(address, SENDER)) is Reason.STATE_CONFLICT
    assert (await bench.ledger.do(last)).state is ConsentState.ACTIVE
    await bench.revoke(granted[0])
    assert await reason_of(bench.grant(address, SENDER)) is Reason.STATE_CONFLICT
    await bench.grant(address, RECIPIENT)
    decision = await bench.authorize(query(address))
    assert decision.permit is not None
    assert len(bench.rested_on(decision.appended.index)["parties"][0]["consents"]) == MAX_CONSENTS


async def test_a_withdrawal_is_the_consent_s_second_revision_and_happens_once(bench: Bench) -> None:
    address = await bench.patient()
    granted = await bench.grant(address, SENDER)
    revoked = await bench.revoke(granted)
    assert revoked == replace(granted, state=ConsentState.REVOKED, revision=2)
    entry = bench.entries()[-1]
    assert (entry.type, entry.actor, entry.until_ms) == ("consent.revoked", "holder", None)
    assert entry.resources == (bench.identifiers.revision_name(0, granted.consent, 2),)
    assert entry.subject == bench.entries()[-2].subject
    size = len(bench.entries())
    for _ in range(3):
        assert await bench.revoke(granted) == revoked
    assert len(bench.entries()) == size


async def test_who_withdraws_is_who_is_recorded(bench: Bench) -> None:
    address = await bench.open_profile(c.OpenProfile(ins(1), majority_ms=NOW_MS + DAY_MS))
    await bench.ledger.do(c.Pair(address, SENDER))
    await bench.ledger.do(c.Represent(address, "parent-1", True))
    granted = await bench.grant(address, SENDER)
    await bench.ledger.do(revoking(0, granted.consent, c.Actor("representative", "franceconnect", "parent-1")))
    assert bench.entries()[-1].actor == "representative"
    assert bench.opened(len(bench.entries()) - 1)["authentication"] == "franceconnect"


async def test_nothing_delays_a_withdrawal_no_stale_lease_and_no_suspended_service(bench: Bench) -> None:
    address = await bench.patient()
    one, two = await bench.grant(address, SENDER), await bench.grant(address, RECIPIENT)
    bench.view.snapshot = None
    assert await reason_of(bench.ledger.do(grant_of(address))) is Reason.REGISTRY_STALE
    assert await reason_of(bench.authorize(query(address))) is Reason.REGISTRY_STALE
    assert (await bench.revoke(one)).state is ConsentState.REVOKED
    bench.view.set([record(SENDER, Status.SUSPENDED)])
    assert (await bench.revoke(two)).state is ConsentState.REVOKED


async def test_a_patient_may_consent_again_after_a_withdrawal(bench: Bench) -> None:
    address = await bench.patient()
    first = await bench.grant(address, SENDER)
    await bench.revoke(first)
    second = await bench.grant(address, SENDER)
    assert second.consent != first.consent
    found = bench.find_consent(0, first.consent)
    assert found is not None
    assert found.state is ConsentState.REVOKED


def test_a_consent_that_is_not_there_is_none(bench: Bench) -> None:
    assert bench.find_consent(0, 1) is None
    assert bench.find_consent(7, 1) is None


async def test_terms_take_no_more_room_than_a_decision_s_facts_have(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both services' consents stand in the facts of each decision, and a verifier reads a megabyte of them."""
    address = await bench.patient()
    known = await bench.grant(address, SENDER)
    size = len(dumps(known.scope.to_json())) + len(dumps(known.limits.to_json()))
    monkeypatch.setattr(consents, "MAX_TERMS", 2 * size)
    await bench.grant(address, SENDER)
    assert await reason_of(bench.grant(address, SENDER)) is Reason.STATE_CONFLICT
    await bench.grant(address, RECIPIENT)

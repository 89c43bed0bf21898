"""What is kept from whoever reads of accesses: on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from accord.consent.v1 import consent_pb2
from accord.consent.v1 import consent_reader_service_pb2 as reader

from services.consent.domain import commands as c
from services.consent.domain.terms import Effect, Limits
from services.errors import AccordError, Reason
from services.formats.rights import Purpose, Scope
from tests.support.accesses import HELD, Desk, deliver, minor, reason_of
from tests.support.ledgers import DAY_MS, EVERYTHING, NOW_MS, RECIPIENT, SENDER, Bench, ins, query

REPRESENTATIVE = consent_pb2.ACTOR_ROLE_REPRESENTATIVE
SECRET = Limits(secret=True)


@pytest.fixture
async def desk(bench: Bench) -> AsyncIterator[Desk]:
    made = Desk(bench)
    yield made
    await made.close()


async def test_what_the_patient_may_not_see_yet_is_absent_for_a_month(desk: Desk) -> None:
    """R1111-53: that somebody tried to move it would tell that there is something."""
    patient = await desk.bench.consenting()
    hidden, decided = await desk.authorize(query(patient, labels=frozenset({"INVISIBLE_PATIENT"})))
    assert decided.told is not None
    desk.bench.clock.now_ms += 31 * DAY_MS - 1
    assert await desk.pages(patient) == [reader.ListAccessesResponse()]
    desk.bench.clock.now_ms += 1
    assert [item.exchange for item in await desk.listed(patient)] == [hidden]


async def test_a_representative_does_not_see_what_the_minor_hid_from_them(desk: Desk) -> None:
    patient = await minor(desk.bench)
    for service in (SENDER, RECIPIENT):
        await desk.bench.grant(patient, service)
    hidden = await deliver(desk, query(patient, labels=frozenset({"INVISIBLE_REPRESENTANTS_LEGAUX"})))
    plain = await deliver(desk, query(patient, labels=frozenset({"N"})))
    assert [item.exchange for item in await desk.listed(patient)] == [hidden, plain]
    assert [item.exchange for item in await desk.listed(patient, viewer=REPRESENTATIVE)] == [plain]


async def test_nobody_represents_an_adult(desk: Desk) -> None:
    patient = await minor(desk.bench)
    desk.bench.clock.now_ms += 400 * DAY_MS
    for address in (patient, await desk.bench.patient(2)):
        with pytest.raises(AccordError, match="STATE_CONFLICT"):
            await desk.page(address, viewer=REPRESENTATIVE)


async def test_a_representative_sees_no_access_and_no_refusal_that_rests_on_a_secret(desk: Desk) -> None:
    patient = await minor(desk.bench)
    await desk.bench.grant(patient, SENDER, _of("class:10"))
    await desk.bench.grant(patient, RECIPIENT)
    await desk.bench.grant(patient, SENDER, _of("class:11"), limits=SECRET)
    await desk.bench.grant(
        patient,
        RECIPIENT,
        _of("class:42"),
        limits=Limits(effect=Effect.DENY, secret=True),
    )
    plain = await deliver(desk, query(patient))
    await deliver(desk, query(patient, categories=frozenset({"class:11"})))
    await desk.authorize(query(patient, categories=frozenset({"class:11"}), purpose=Purpose.CARE))
    _, opposed = await desk.authorize(query(patient, service=RECIPIENT, counterparty=SENDER, categories={"class:42"}))
    assert opposed.told is not None
    refused = await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    assert len(await desk.listed(patient)) == 5
    assert [item.exchange for item in await desk.listed(patient, viewer=REPRESENTATIVE)] == [plain, refused]


async def test_a_denial_after_a_secret_ground_does_not_show_that_there_was_one(desk: Desk) -> None:
    """The sender's secret consent carries it as far as the recipient's lack of one; without it, it is lacking itself."""
    patient = await minor(desk.bench)
    revoked = await desk.bench.grant(patient, SENDER)
    await desk.bench.revoke(revoked)
    await desk.bench.grant(patient, SENDER, limits=SECRET)
    exchange, decided = await desk.authorize(query(patient))
    assert decided.told is Reason.RECIPIENT_NOT_PERMITTED
    assert [item.exchange for item in await desk.listed(patient)] == [exchange]
    assert await desk.pages(patient, viewer=REPRESENTATIVE) == [reader.ListAccessesResponse()]


async def test_a_service_known_by_a_secret_alone_is_not_there_at_all(desk: Desk) -> None:
    patient = await minor(desk.bench)
    await desk.bench.grant(patient, SENDER, limits=SECRET)
    await desk.refuse(SENDER, patient, Reason.DOCUMENT_MALFORMED)
    await desk.authorize(query(patient))
    assert len(await desk.listed(patient)) == 2
    assert await desk.pages(patient, viewer=REPRESENTATIVE) == [reader.ListAccessesResponse()]


async def test_whether_the_recipient_is_paired_is_not_told_to_a_representative(desk: Desk) -> None:
    patient = await desk.bench.open_profile(c.OpenProfile(ins(1), majority_ms=NOW_MS + 300 * DAY_MS))
    await desk.bench.ledger.do(c.Pair(patient, SENDER))
    await desk.bench.grant(patient, SENDER)
    unpaired, _ = await desk.authorize(query(patient))
    await desk.bench.ledger.do(c.Pair(patient, RECIPIENT))
    without_consent, _ = await desk.authorize(query(patient))
    holder = [(item.exchange, reason_of(item)) for item in await desk.listed(patient)]
    assert holder == [(unpaired, "NOT_PERMITTED"), (without_consent, "CONSENT_MISSING")]
    seen = [(item.exchange, reason_of(item)) for item in await desk.listed(patient, viewer=REPRESENTATIVE)]
    assert seen == [(unpaired, "CONSENT_MISSING"), (without_consent, "CONSENT_MISSING")]


def amending(consent: c.Consent, limits: Limits, number: int) -> c.Amend:
    """The same consent with other limits."""
    return c.Amend(
        consent.shard,
        consent.consent,
        consent.scope,
        consent.end_ms,
        consent.notice_sha256,
        limits,
        HELD,
        f"amend-{number:04}",
        str(number),
    )


async def test_a_consent_that_becomes_secret_takes_its_accesses_along(desk: Desk) -> None:
    patient = await minor(desk.bench)
    kept = await desk.bench.grant(patient, SENDER, _of("class:10"))
    await desk.bench.grant(patient, SENDER, _of("class:11"))
    await desk.bench.grant(patient, RECIPIENT)
    await deliver(desk, query(patient))
    stays = await deliver(desk, query(patient, categories=frozenset({"class:11"})))
    assert len(await desk.listed(patient, viewer=REPRESENTATIVE)) == 2
    await desk.bench.ledger.do(amending(kept, SECRET, 1))
    assert [item.exchange for item in await desk.listed(patient, viewer=REPRESENTATIVE)] == [stays]


async def test_what_was_done_in_secret_stays_so_when_the_consent_is_shown_again(desk: Desk) -> None:
    patient = await minor(desk.bench)
    kept = await desk.bench.grant(patient, SENDER, limits=SECRET)
    await desk.bench.grant(patient, RECIPIENT)
    await deliver(desk, query(patient))
    await desk.bench.ledger.do(amending(kept, Limits(), 1))
    shown = await deliver(desk, query(patient))
    assert len(await desk.listed(patient)) == 2
    assert [item.exchange for item in await desk.listed(patient, viewer=REPRESENTATIVE)] == [shown]


async def test_a_denial_by_label_does_not_tell_that_the_recipient_is_paired(desk: Desk) -> None:
    """An unpaired recipient would have been refused before its label was looked at."""
    patient = await minor(desk.bench)
    await desk.bench.grant(patient, SENDER)
    hidden = frozenset({"INVISIBLE_PATIENT"})
    denied, _ = await desk.authorize(query(patient, labels=hidden))
    desk.bench.clock.now_ms += 31 * DAY_MS
    assert [(item.exchange, reason_of(item)) for item in await desk.listed(patient)] == [(denied, "LABEL_EXCLUDED")]
    assert await desk.pages(patient, viewer=REPRESENTATIVE) == [reader.ListAccessesResponse()]


async def test_a_representative_sees_nothing_of_what_can_no_longer_be_decided_again(desk: Desk) -> None:
    patient = await minor(desk.bench, 2600)
    for service in (SENDER, RECIPIENT):
        await desk.bench.grant(patient, service)
    await deliver(desk, query(patient))
    assert len(await desk.listed(patient, viewer=REPRESENTATIVE)) == 1
    desk.bench.clock.now_ms += 5 * 366 * DAY_MS
    await desk.bench.ledger.do(c.Retain(patient.shard, 2026, "ehds_9"))
    assert await desk.pages(patient, viewer=REPRESENTATIVE) == [reader.ListAccessesResponse()]


def _of(category: str) -> Scope:
    return Scope(frozenset({category}), EVERYTHING.directions, EVERYTHING.purposes)

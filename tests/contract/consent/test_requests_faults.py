"""Requests that nobody decides, and deciding that is cut short: expired in time, healed by the same patient alone."""

from typing import Any

import pytest
from accord.consent.v1 import consent_request_service_pb2 as pb

from services.consent.domain import commands as c
from services.consent.ledger import Ledger
from services.consent.requests import CLAIM_GRACE_MS
from services.errors import Reason
from tests.support.ledgers import Bench
from tests.support.portals import Portal
from tests.support.refused import reason_of

PENDING, EXPIRED = pb.REQUEST_STATE_PENDING, pb.REQUEST_STATE_EXPIRED
LIFE_MS = 900_000


@pytest.fixture
def portal(bench: Bench) -> Portal:
    return Portal(bench)


async def test_a_request_expires_by_the_clock_and_is_granted_no_more(bench: Bench, portal: Portal) -> None:
    asked, profile = await portal.ask(), await portal.open()
    bench.clock.now_ms += LIFE_MS
    assert await reason_of(portal.look_up(asked.user_code)) is Reason.REQUEST_EXPIRED
    assert await reason_of(portal.grant(profile, request=asked.name)) is Reason.REQUEST_EXPIRED
    assert await reason_of(portal.reject(asked.name, profile)) is Reason.REQUEST_EXPIRED
    assert (await portal.poll(asked.name)).state == PENDING  # until nothing claimed before can still arrive
    bench.clock.now_ms += CLAIM_GRACE_MS
    assert (await portal.poll(asked.name)).state == EXPIRED
    assert "consent.granted" not in bench.kinds()


class CrashError(Exception):
    """The process died here."""


@pytest.fixture
def crashing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """Commands before which the process dies, once each."""
    wanted: list[type] = []
    do = Ledger.do

    async def dying(self: Ledger, item: Any) -> Any:
        if type(item) in wanted and not getattr(item, "validate_only", False):
            wanted.remove(type(item))
            raise CrashError
        return await do(self, item)

    monkeypatch.setattr(Ledger, "do", dying)
    return wanted


async def test_a_crash_between_claim_and_grant_is_healed_by_the_same_patient_alone(
    bench: Bench, portal: Portal, crashing: list[type]
) -> None:
    asked, one, two = await portal.ask(), await portal.open(1), await portal.open(2)
    consent = portal.consent()
    crashing.append(c.Grant)
    with pytest.raises(CrashError):
        await portal.grant(one, consent, request=asked.name)
    told = await portal.poll(asked.name)
    assert (told.state, told.consent, told.patient) == (PENDING, "", "")
    assert await reason_of(portal.grant(two, consent, request=asked.name)) is Reason.STATE_CONFLICT
    bench.clock.now_ms += LIFE_MS + CLAIM_GRACE_MS // 2 - 1
    granted = await portal.grant(one, consent, request=asked.name)
    assert (await portal.poll(asked.name)).consent == granted.name


async def test_a_claim_whose_grant_never_came_expires_and_is_never_granted_after_that(
    bench: Bench, portal: Portal, crashing: list[type]
) -> None:
    asked, profile = await portal.ask(), await portal.open()
    crashing.append(c.Grant)
    with pytest.raises(CrashError):
        await portal.grant(profile, request=asked.name)
    bench.clock.now_ms += LIFE_MS + CLAIM_GRACE_MS // 2
    assert await reason_of(portal.grant(profile, request=asked.name)) is Reason.REQUEST_EXPIRED
    assert (await portal.poll(asked.name)).state == PENDING
    bench.clock.now_ms += CLAIM_GRACE_MS // 2
    assert (await portal.poll(asked.name)).state == EXPIRED
    assert "consent.granted" not in bench.kinds()


async def test_what_cannot_be_granted_does_not_use_the_request_up(bench: Bench, portal: Portal) -> None:
    asked, one, two = await portal.ask(), await portal.open(1), await portal.open(2)
    await portal.close(one)
    assert await reason_of(portal.grant(one, request=asked.name)) is Reason.PROFILE_NOT_OPEN
    assert (await portal.poll(asked.name)).state == PENDING
    assert (await portal.grant(two, request=asked.name, validate_only=True)).name == ""
    assert (await portal.poll(asked.name)).state == PENDING
    assert (await portal.grant(two, request=asked.name)).name


async def test_a_patient_is_not_asked_without_the_notice_but_a_service_may_poll(bench: Bench, portal: Portal) -> None:
    asked = await portal.ask()
    bench.view.snapshot = None
    assert await reason_of(portal.look_up(asked.user_code)) is Reason.REGISTRY_STALE
    told = await portal.poll(asked.name)
    assert (told.state, told.notice_sha256) == (PENDING, "")


async def test_no_code_and_no_request_stands_in_the_log(bench: Bench, portal: Portal) -> None:
    asked = await portal.ask()
    await portal.grant(await portal.open(), request=asked.name)
    raw = b"".join(entry.to_bytes() for entry in bench.entries())
    for secret in (asked.user_code, asked.user_code.replace("-", ""), asked.name.partition("/")[2]):
        assert secret.encode() not in raw

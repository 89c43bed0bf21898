"""An organisation's suspension takes its services with it, and gives them back as they would be without it."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.errors import AccordError, Reason
from services.formats.lease import Status, parse_record
from services.formats.register_entry import RegisterEvent
from services.registry.domain.service import RecordedOrganization
from services.registry.domain.status import APPLIED, Standing, hold
from services.registry.domain.wish import Wish
from tests.contract.registry.test_catalog import MOVES, created, moved, outcome, sequence
from tests.contract.registry.test_log import entries, rows
from tests.support.register import REGISTRAR, application, organization
from tests.support.registers import Register, open_database

ORGANIZATION = "organizations/org-1"
FIRST, SECOND, THIRD = (f"services/service-{number}" for number in (1, 2, 3))


async def suspend(register: Register, suspended: bool = True, *, etag: str = "", why: str = "") -> RecordedOrganization:
    wish = Wish(ORGANIZATION, etag, why, evidence="2026-114" if why else "")
    return await register.organizations.suspend(wish, REGISTRAR, suspended=suspended)


async def three(register: Register) -> None:
    """Three services of one organisation: referenced with exchange, suspended by itself, only applied."""
    await created(register)
    for number in (2, 3):
        await register.catalog.create_service(application(number, organization=ORGANIZATION), REGISTRAR)
    for name in (FIRST, SECOND):
        await moved(register, "with", name=name)
    await moved(register, "suspend", name=SECOND)


async def statuses(register: Register) -> list[Status]:
    """Where each service stands for those who follow the lease, in order of name."""
    return [parse_record(record).status for record in (await register.leases.current()).records]


async def test_all_that_is_referenced_is_suspended_at_once_and_reinstated_at_once(register: Register) -> None:
    await three(register)
    before, start = len(entries(register.database)), await sequence(register)
    suspended = await suspend(register, why="Liquidation judiciaire.")
    assert suspended.suspended
    assert await statuses(register) == [Status.SUSPENDED, Status.SUSPENDED, Status.APPLIED]
    assert await sequence(register) == start + 1, "one snapshot for all of them"
    reinstated = await suspend(register, False)
    assert not reinstated.suspended
    assert await statuses(register) == [Status.REFERENCED_WITH_EXCHANGE, Status.SUSPENDED, Status.APPLIED]
    found = entries(register.database)[before:]
    assert [(item.type, item.resource, item.status) for item in found] == [
        (RegisterEvent.ORGANIZATION_SUSPENDED, ORGANIZATION, "SUSPENDED"),
        (RegisterEvent.SERVICE_SUSPENDED, FIRST, "SUSPENDED"),
        (RegisterEvent.ORGANIZATION_REINSTATED, ORGANIZATION, ""),
        (RegisterEvent.SERVICE_REINSTATED, FIRST, "REFERENCED_WITH_EXCHANGE"),
    ]
    assert found[0].registry == found[1].registry
    bodies = [bytes(row.body) for row in rows(register.database)[before:]]
    assert [b"Liquidation judiciaire." in body for body in bodies] == [True, True, False, False]
    assert [b'"evidence":"2026-114"' in body for body in bodies] == [True, True, False, False]
    assert [b'"cause":"organization"' in body for body in bodies] == [False, True, False, True]


async def test_a_repeat_changes_nothing_and_an_old_etag_is_aborted(register: Register) -> None:
    await three(register)
    first = await suspend(register)
    before, start = entries(register.database), await sequence(register)
    assert await suspend(register) == first
    assert (entries(register.database), await sequence(register)) == (before, start)
    known = await register.organizations.create(organization(), REGISTRAR)
    assert known == first, "recording it again gives it as it stands"
    await suspend(register, False, etag=first.etag)
    with pytest.raises(AccordError) as refused:
        await suspend(register, etag=first.etag)
    assert refused.value.reason is Reason.ETAG_MISMATCH


async def test_an_organization_that_is_unknown_is_not_found(register: Register) -> None:
    with pytest.raises(AccordError) as refused:
        await suspend(register)
    assert refused.value.reason is Reason.RESOURCE_NOT_FOUND


async def test_nothing_is_referenced_while_its_organization_is_suspended(register: Register) -> None:
    await three(register)
    await suspend(register)
    late = await register.catalog.create_service(application(4, organization=ORGANIZATION), REGISTRAR)
    assert late.standing == hold(APPLIED, True)
    for name in (FIRST, THIRD, late.name):
        with pytest.raises(AccordError, match="the organisation is suspended"):
            await moved(register, "with", name=name)
    with pytest.raises(AccordError, match="reinstate that"):
        await moved(register, "reinstate", name=FIRST)
    await moved(register, "reinstate", name=SECOND)
    await moved(register, "suspend", name=FIRST)
    assert (await statuses(register))[:2] == [Status.SUSPENDED, Status.SUSPENDED]
    await suspend(register, False)
    assert (await statuses(register))[:2] == [Status.SUSPENDED, Status.REFERENCED_WITH_EXCHANGE]


Steps = st.lists(
    st.tuples(st.sampled_from([FIRST, SECOND, THIRD]), st.sampled_from(sorted(MOVES)))
    | st.tuples(st.just(ORGANIZATION), st.sampled_from(["suspend", "reinstate"])),
    max_size=25,
)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(Steps)
def test_after_any_history_each_service_stands_where_a_model_says(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str]]
) -> None:
    """The model: a service's own moves as if there were no organisation, seen through whether that is suspended."""
    url = f"sqlite:///{tmp_path_factory.mktemp('register') / 'registry.db'}"

    async def play() -> None:
        register = Register(open_database(url), url)
        await created(register)
        for number in (2, 3):
            await register.catalog.create_service(application(number, organization=ORGANIZATION), REGISTRAR)
        own, held = dict.fromkeys((FIRST, SECOND, THIRD), APPLIED), False
        for name, move in steps:
            if name == ORGANIZATION:
                held = move == "suspend"
                await suspend(register, held)
                continue
            expected, refusal = outcome(move, hold(own[name], held))
            if refusal is None:
                await moved(register, move, name=name)
                own[name] = hold(expected, False)
            else:
                with pytest.raises(AccordError) as refused:
                    await moved(register, move, name=name)
                assert refused.value.reason is refusal
            assert await statuses(register) == [seen(standing, held) for standing in own.values()]
        register.executor.shutdown()
        register.database.close()

    asyncio.run(play())


def seen(standing: Standing, held: bool) -> Status:
    """Where a service stands for everybody."""
    referenced = standing.status in (Status.REFERENCED_WITH_EXCHANGE, Status.REFERENCED_WITHOUT_EXCHANGE)
    return Status.SUSPENDED if held and referenced else standing.status
